//! A digest of 64 bits that is the same in each process, for ids that are kept: SipHash-2-4 (Aumasson
//! and Bernstein, 2012). That of OpenSSL costs two megabytes where nothing else needs OpenSSL.

/// What the digest begins with; it is no secret.
const KEY: [u64; 2] = [0x6d61_696c_7472_6970, 0x7569_646c_2069_6473];

/// The digest of this text.
pub(super) fn digest(text: &[u8]) -> u64 {
    siphash(KEY, text)
}

fn siphash(key: [u64; 2], text: &[u8]) -> u64 {
    let [k0, k1] = key;
    let mut state = State {
        v0: k0 ^ 0x736f_6d65_7073_6575,
        v1: k1 ^ 0x646f_7261_6e64_6f6d,
        v2: k0 ^ 0x6c79_6765_6e65_7261,
        v3: k1 ^ 0x7465_6462_7974_6573,
    };
    let (words, rest) = text.as_chunks::<8>();
    for word in words {
        state.take(u64::from_le_bytes(*word));
    }
    let last = rest.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
    let length = u64::try_from(text.len() % 256).unwrap_or_default();
    state.take(length << 56 | last);
    state.v2 ^= 0xff;
    (0..4).for_each(|_| state.round());
    state.v0 ^ state.v1 ^ state.v2 ^ state.v3
}

struct State {
    v0: u64,
    v1: u64,
    v2: u64,
    v3: u64,
}

impl State {
    fn take(&mut self, word: u64) {
        self.v3 ^= word;
        (0..2).for_each(|_| self.round());
        self.v0 ^= word;
    }

    fn round(&mut self) {
        self.v0 = self.v0.wrapping_add(self.v1);
        self.v1 = self.v1.rotate_left(13) ^ self.v0;
        self.v0 = self.v0.rotate_left(32);
        self.v2 = self.v2.wrapping_add(self.v3);
        self.v3 = self.v3.rotate_left(16) ^ self.v2;
        self.v0 = self.v0.wrapping_add(self.v3);
        self.v3 = self.v3.rotate_left(21) ^ self.v0;
        self.v2 = self.v2.wrapping_add(self.v1);
        self.v1 = self.v1.rotate_left(17) ^ self.v2;
        self.v2 = self.v2.rotate_left(32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_that_of_the_paper() {
        // Appendix A: a key of the bytes 0 to 15, a text of the bytes 0 to 14.
        let key = [0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908];
        let text: Vec<u8> = (0..15).collect();
        assert_eq!(siphash(key, &text), 0xa129_ca61_49be_45e5);
        assert_eq!(siphash(key, b""), 0x726f_db47_dd0e_0e31);
    }
}
