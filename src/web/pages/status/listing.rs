//! Which targets the status page shows: what was searched for, in which order, and how many at a
//! time.

use std::fmt;

use crate::supervisor::View;
use crate::web::condition::{ShownCondition, condition_of};
use crate::web::server::Request;
use ledger::Condition;
use mail::text::is_unsafe;

/// The most targets on one page.
pub(super) const PAGE_ROWS: usize = 200;

/// The longest search, in characters; nothing longer can be in a name.
const SEARCH_CHARS: usize = 255;

/// What a reader asks of the page.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::web) struct Query {
    /// Words that must all be found in a target; empty: no search.
    pub(super) search: String,
    /// Only targets in this condition.
    pub(super) state: Option<Condition>,
    /// The order.
    pub(super) order: Order,
    /// Which page, from 0.
    pub(super) page: usize,
}

/// The order of the targets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Order {
    /// The worst first, then by name.
    #[default]
    Worst,
    /// By name.
    Name,
}

/// The targets of one page.
#[derive(Debug)]
pub(super) struct Listing<'a> {
    /// Those shown.
    pub(super) shown: Vec<&'a View>,
    /// How many match.
    pub(super) matching: usize,
    /// How many there are.
    pub(super) all: usize,
    /// Which page this is, from 0.
    pub(super) page: usize,
    /// How many pages those that match fill; at least 1.
    pub(super) pages: usize,
    /// How many of all are in which condition, the worst first; none with nothing in it.
    pub(super) counts: Vec<(Condition, usize)>,
}

impl Query {
    /// The parameters of a request; invalid ones are ignored.
    pub(in crate::web) fn of(request: &Request) -> Self {
        let words: Vec<&str> =
            request.parameter("search").unwrap_or_default().split_whitespace().collect();
        // Invisible characters come from pasting; no name contains them.
        let search =
            words.join(" ").chars().filter(|it| !is_unsafe(*it)).take(SEARCH_CHARS).collect();
        let state = request.parameter("state").unwrap_or_default();
        let page = request.parameter("page").and_then(|page| page.parse::<usize>().ok());
        Self {
            search,
            state: Condition::ALL.into_iter().find(|condition| condition.class() == state),
            order: match request.parameter("sort") {
                Some("name") => Order::Name,
                _ => Order::Worst,
            },
            page: page.unwrap_or(1).saturating_sub(1),
        }
    }

    /// The same for one condition, or for all, from the first page on.
    pub(super) fn with_state(&self, state: Option<Condition>) -> Self {
        Self { state, page: 0, ..self.clone() }
    }

    /// The same, another page.
    pub(super) fn with_page(&self, page: usize) -> Self {
        Self { page, ..self.clone() }
    }

    /// Whether some targets are left out on purpose.
    pub(super) fn is_filtered(&self) -> bool {
        !self.search.is_empty() || self.state.is_some()
    }

    /// Whether a target matches.
    fn admits(&self, view: &View, condition: Condition, words: &[String]) -> bool {
        if self.state.is_some_and(|state| state != condition) {
            return false;
        }
        if words.is_empty() {
            return true;
        }
        let target = &view.target;
        let mut text = format!(
            "{} {} {} {}",
            target.name,
            target.send.endpoint.host,
            target.receive.as_ref().map_or("", |side| &side.endpoint.host),
            target.cluster.as_deref().unwrap_or_default()
        );
        for (name, value) in &target.labels {
            text.push_str(&format!(" {name}={value}"));
        }
        let text = text.to_lowercase();
        words.iter().all(|word| text.contains(word.as_str()))
    }
}

/// The path of the page that shows it.
impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut query = form_urlencoded::Serializer::new(String::new());
        if !self.search.is_empty() {
            query.append_pair("search", &self.search);
        }
        if let Some(state) = self.state {
            query.append_pair("state", state.class());
        }
        if self.order == Order::Name {
            query.append_pair("sort", "name");
        }
        if self.page > 0 {
            query.append_pair("page", &(self.page + 1).to_string());
        }
        let query = query.finish();
        if query.is_empty() { f.write_str("/") } else { write!(f, "/?{query}") }
    }
}

impl<'a> Listing<'a> {
    /// What `query` asks for of `views`, which are sorted by name.
    pub(super) fn new(views: impl IntoIterator<Item = &'a View>, query: &Query) -> Self {
        let judged: Vec<(Condition, &View)> =
            views.into_iter().map(|view| (condition_of(view), view)).collect();
        let count = |wanted| judged.iter().filter(|(condition, _)| *condition == wanted).count();
        let counts = Condition::ALL.map(|condition| (condition, count(condition)));
        let words: Vec<String> = query.search.split_whitespace().map(str::to_lowercase).collect();
        let mut matching: Vec<&(Condition, &View)> = judged
            .iter()
            .filter(|(condition, view)| query.admits(view, *condition, &words))
            .collect();
        if query.order == Order::Worst {
            matching.sort_by_key(|(condition, _)| *condition);
        }
        let pages = matching.len().div_ceil(PAGE_ROWS).max(1);
        let page = query.page.min(pages - 1);
        let shown = matching.iter().skip(page * PAGE_ROWS).take(PAGE_ROWS);
        Self {
            shown: shown.map(|(_, view)| *view).collect(),
            matching: matching.len(),
            all: judged.len(),
            page,
            pages,
            counts: counts.into_iter().filter(|(_, count)| *count > 0).collect(),
        }
    }
    /// How many of all are in this condition.
    pub(super) fn count_of(&self, condition: Condition) -> usize {
        self.counts.iter().find(|(it, _)| *it == condition).map_or(0, |(_, count)| *count)
    }
}
