//! Samples that every filter knows, harmless by themselves. Neither the sources nor the program hold one of them as it
//! is: a virus scanner would take them for what they stand for. They are put together when a mail is written.

use std::hint::black_box;

use super::{AttachedData, Attachment, Form};

/// What each byte of a sample differs in from what is written here.
const MASK: u8 = 0x5A;

const EICAR: [u8; 68] = [
    2, 111, 21, 123, 10, 127, 26, 27, 10, 1, 110, 6, 10, 0, 2, 111, 110, 114, 10, 4, 115, 109, 25,
    25, 115, 109, 39, 126, 31, 19, 25, 27, 8, 119, 9, 14, 27, 20, 30, 27, 8, 30, 119, 27, 20, 14,
    19, 12, 19, 8, 15, 9, 119, 14, 31, 9, 14, 119, 28, 19, 22, 31, 123, 126, 18, 113, 18, 112,
];

const GTUBE: [u8; 68] = [
    2, 16, 9, 112, 25, 110, 16, 30, 24, 11, 27, 30, 20, 107, 116, 20, 9, 24, 20, 105, 112, 104, 19,
    30, 20, 31, 20, 112, 29, 14, 15, 24, 31, 119, 9, 14, 27, 20, 30, 27, 8, 30, 119, 27, 20, 14,
    19, 119, 15, 24, 31, 119, 14, 31, 9, 14, 119, 31, 23, 27, 19, 22, 112, 25, 116, 105, 110, 2,
];

/// A sample that filters are to find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sample {
    /// The test file of EICAR, which virus scanners take for a virus; attached as `eicar.com`.
    Eicar,
    /// The Generic Test for Unsolicited Bulk Email, which spam filters take for spam; a line of the text.
    Gtube,
}

impl Sample {
    /// The sample itself.
    pub fn bytes(self) -> Vec<u8> {
        let masked = match self {
            Sample::Eicar => &EICAR,
            Sample::Gtube => &GTUBE,
        };
        // The compiler must not do it in advance.
        masked.iter().map(|byte| byte ^ black_box(MASK)).collect()
    }

    /// The form of a mail with the sample, whose text is put into `text`.
    pub(crate) fn put_into(self, form: &Form, text: &mut String) -> Form {
        let mut form = form.clone();
        let bytes = self.bytes();
        match self {
            Sample::Eicar => {
                let name = "eicar.com".to_owned();
                let data = AttachedData::File { path: name.clone().into(), bytes: bytes.into() };
                form.attachment = Some(Attachment { name, data });
            }
            // A line of its own, as filters ask for.
            Sample::Gtube => *text += &format!("\n{}\n", String::from_utf8_lossy(&bytes)),
        }
        form
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_samples_are_those_that_filters_know() {
        let sum = |sample: Sample| {
            let sum = openssl::sha::sha256(&sample.bytes());
            sum.iter().map(|byte| format!("{byte:02x}")).collect::<String>()
        };
        // As published for the file of 68 bytes, and that of the line without its end.
        assert_eq!(
            sum(Sample::Eicar),
            "275a021bbfb6489e54d471899f7db9d1663fc695ec2fe2a2c4538aabf651fd0f"
        );
        assert_eq!(
            sum(Sample::Gtube),
            "4418994365912e23b756ec7f14960f1a89230e44e6acb74de055db7c092f8b9c"
        );
    }
}
