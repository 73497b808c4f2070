//! What is listed page by page: keys, entries, scopes, history.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use futures_util::{Stream, TryStreamExt, stream};
use serde::{Deserialize, de::DeserializeOwned};

use super::{
    State,
    entry::{Change, Entry, Told},
    error::{Failed, ReadError},
    scope::Scope,
    wire::Fields,
};

/// Something that is listed, in order, read page by page as it is asked for.
///
/// Each page is of one moment; what changes between two pages may be listed or not. An error ends it.
#[must_use = "a listing does nothing unless it is read"]
pub struct Listing<T>(Pin<Box<dyn Stream<Item = Result<T, ReadError>> + Send>>);

impl<T> Listing<T> {
    /// Waits for the next; `None` after the last one and after an error.
    ///
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Result<T, ReadError>> {
        std::future::poll_fn(|cx| self.0.as_mut().poll_next(cx)).await
    }

    /// Waits for all that is left. Mind how much there is.
    ///
    /// # Errors
    /// The first that occurs.
    pub async fn all(self) -> Result<Vec<T>, ReadError> {
        self.0.try_collect().await
    }
}

impl<T> Stream for Listing<T> {
    type Item = Result<T, ReadError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.as_mut().poll_next(cx)
    }
}

impl<T> fmt::Debug for Listing<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listing").finish_non_exhaustive()
    }
}

/// Lists keys or entries of a scope. Made by [`Scope::list`].
#[must_use = "it lists when keys or entries are asked for"]
#[derive(Debug, Clone)]
pub struct ListBuilder {
    scope: Scope,
    prefix: String,
    after: Option<String>,
    page: Option<u32>,
}

impl ListBuilder {
    pub(super) fn new(scope: Scope) -> Self {
        Self {
            scope,
            prefix: String::new(),
            after: None,
            page: None,
        }
    }

    /// Lists keys that begin with this.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Lists keys that come after this one, which need not exist.
    pub fn after(mut self, key: impl Into<String>) -> Self {
        self.after = Some(key.into());
        self
    }

    /// Sets how many are read at once: 1 to 10,000, by default 1,000.
    pub fn page(mut self, keys: u32) -> Self {
        self.page = Some(keys);
        self
    }

    /// Lists the keys.
    pub fn keys(self) -> Listing<String> {
        #[derive(Deserialize)]
        struct Keys {
            keys: Vec<String>,
            next: Option<String>,
        }
        self.list(false, |page: Keys| Ok((page.keys, page.next)))
    }

    /// Lists the keys with what they hold.
    pub fn entries(self) -> Listing<Entry> {
        #[derive(Deserialize)]
        struct Entries {
            entries: Vec<Told>,
            next: Option<String>,
        }
        self.list(true, |page: Entries| {
            let entries = page.entries.into_iter().map(Told::into_entry);
            let entries = entries.collect::<Result<_, _>>().map_err(Failed::invalid)?;
            Ok((entries, page.next))
        })
    }

    fn list<T, P>(self, values: bool, read: fn(P) -> Result<Page<T, String>, Failed>) -> Listing<T>
    where
        T: Send + 'static,
        P: DeserializeOwned + Send + 'static,
    {
        let after = self.after.clone();
        pages(after, move |after: Option<String>| {
            let list = self.clone();
            async move {
                let fields = Fields {
                    prefix: Some(&list.prefix),
                    after: after.as_deref(),
                    limit: list.page,
                    values: Some(values),
                    ..list.scope.fields()
                };
                read(list.scope.state.read("list-keys", &fields).await?)
            }
        })
    }
}

/// What happened to a key.
pub(super) fn history(scope: Scope, key: &str) -> Listing<Change> {
    #[derive(Deserialize)]
    struct Versions {
        versions: Vec<Told>,
        next: Option<u64>,
    }
    let key = key.to_owned();
    pages(None, move |before: Option<u64>| {
        let (scope, key) = (scope.clone(), key.clone());
        async move {
            let fields = Fields {
                key: Some(&key),
                before,
                ..scope.fields()
            };
            let page: Versions = scope.state.read("history", &fields).await?;
            let mut changes = Vec::with_capacity(page.versions.len());
            for told in page.versions {
                let change = told.into_change().map_err(Failed::invalid)?;
                changes.extend(change.map(|change| Change {
                    key: key.clone(),
                    ..change
                }));
            }
            Ok((changes, page.next))
        }
    })
}

impl State {
    /// Lists the names of scopes that begin with this, in order.
    pub fn scopes(&self, prefix: &str) -> Listing<String> {
        #[derive(Deserialize)]
        struct Scopes {
            scopes: Vec<String>,
            next: Option<String>,
        }
        let (state, prefix) = (self.clone(), prefix.to_owned());
        pages(None, move |after: Option<String>| {
            let (state, prefix) = (state.clone(), prefix.clone());
            async move {
                let fields = Fields {
                    prefix: Some(&prefix),
                    after: after.as_deref(),
                    ..Fields::default()
                };
                let page: Scopes = state.read("list-scopes", &fields).await?;
                Ok((page.scopes, page.next))
            }
        })
    }
}

/// What is on a page, and where the next one begins.
type Page<T, C> = (Vec<T>, Option<C>);

/// Reads page after page: the first from `cursor` on, each next one from where the last one says.
fn pages<T, C, R, F>(cursor: Option<C>, read: R) -> Listing<T>
where
    T: Send + 'static,
    C: Send + 'static,
    R: Fn(Option<C>) -> F + Send + 'static,
    F: Future<Output = Result<Page<T, C>, Failed>> + Send,
{
    let pages = stream::try_unfold(Some((cursor, read)), |left| async move {
        let Some((cursor, read)) = left else {
            return Ok::<_, ReadError>(None);
        };
        let (items, next) = read(cursor).await?;
        let left = next.map(|next| (Some(next), read));
        Ok(Some((stream::iter(items.into_iter().map(Ok)), left)))
    });
    Listing(Box::pin(pages.try_flatten()))
}
