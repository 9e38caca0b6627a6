//! One watch: JSON lines until the client leaves, its token ends, its time is over, or it reads too
//! slowly.
//!
//! A watch never skips a change in silence: it either delivers each change once and in order, or
//! ends and says from where to go on.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use api::{Bookmark, Problem, ProblemKind, WatchLine};
use authz::{Actor, List, PartOfProject, Permit, decide};
use bytes::Bytes;
use domain::{ProjectPath, ResourceVersion};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use vault::{ChangeKind, Happening, Happenings, ListPage, ListQuery, SecretView, Vault};

use crate::answer::problem;
use crate::app::{App, Refused, unauthorized};
use crate::caller::Credential;
use crate::hub::{Place, permit};
use crate::native::show;

/// How long a client may take to make room for the next lines.
const SLOW: Duration = Duration::from_secs(10);
/// How often a silent watch looks whether its token is still good.
const CHECK: Duration = Duration::from_secs(1);
/// How many batches of lines wait for the client.
const BATCHES: usize = 3;
/// From how many bytes on a batch is sent; it is larger by one commit at most.
const PIECE_BYTES: usize = 16 << 10;
const LIST_PAGE: usize = 64;

/// What is watched.
pub(crate) struct Watching {
    pub(crate) app: App,
    pub(crate) credential: Credential,
    /// The projects; none for all that the caller may list.
    pub(crate) projects: Option<Vec<ProjectPath>>,
    pub(crate) query: ListQuery,
    /// Where to begin; with what there is when none is named.
    pub(crate) from: Option<ResourceVersion>,
    pub(crate) lasts: Duration,
    pub(crate) _place: Place,
}

/// Why a watch ends.
enum End {
    /// The client is gone, or does not read.
    Quiet,
    /// The client is told why.
    Told(Box<Problem>),
}

type Lines = mpsc::Receiver<Bytes>;

impl Watching {
    /// Starts the watch.
    pub(crate) fn start(self) -> Lines {
        let (lines, received) = mpsc::channel(BATCHES + 1);
        tokio::spawn(async move {
            // A place for the last line, so that it can be sent when there is no room for others.
            let Ok(last) = lines.clone().reserve_owned().await else { return };
            let mut session = Session::new(self, lines);
            if let End::Told(problem) = session.run().await {
                let mut problem = *problem;
                problem.resource_version = session.at.map(|at| at.to_string().into());
                last.send(line(&WatchLine::Error(Box::new(problem))));
            }
        });
        received
    }
}

struct Session {
    watching: Watching,
    lines: mpsc::Sender<Bytes>,
    reached: watch::Receiver<Option<ResourceVersion>>,
    closing: watch::Receiver<bool>,
    /// Everything up to here was sent; none while the beginning is.
    at: Option<ResourceVersion>,
    bookmark_due: Instant,
    ends: Instant,
}

impl Session {
    fn new(watching: Watching, lines: mpsc::Sender<Bytes>) -> Self {
        let hub = watching.app.hub();
        let (reached, closing) = (hub.subscribe(), hub.closing());
        let ends = Instant::now() + watching.lasts;
        let bookmark_due = Instant::now() + watching.app.limits().bookmark;
        Self { at: watching.from, watching, lines, reached, closing, bookmark_due, ends }
    }

    async fn run(&mut self) -> End {
        match self.follow().await {
            Ok(never) => match never {},
            Err(end) => end,
        }
    }

    async fn follow(&mut self) -> Result<std::convert::Infallible, End> {
        let mut at = match self.at {
            Some(at) => at,
            None => self.begin().await?,
        };
        loop {
            let actor = self.actor()?;
            let Happenings { changes, through } = self.changes(at).await?;
            self.send_changes(&actor, &changes).await?;
            let moved = through != at;
            at = through;
            self.at = Some(at);
            if Instant::now() >= self.bookmark_due || (self.is_over() && moved) {
                self.bookmark(at, false).await?;
            }
            if self.is_over() {
                return Err(End::Quiet);
            }
            if !moved {
                self.wait().await?;
            }
        }
    }

    /// Sends what there is, page by page, and then a bookmark.
    async fn begin(&mut self) -> Result<ResourceVersion, End> {
        let mut query = ListQuery { limit: LIST_PAGE, ..self.watching.query.clone() };
        let mut projects = self.watching.projects.clone();
        loop {
            let (credential, named, wanted) =
                (self.watching.credential.clone(), projects.clone(), query.clone());
            let (listed, page) = self
                .blocking(move |vault| {
                    let actor = credential.actor(vault).ok_or_else(unauthorized)?;
                    page(vault, &actor, named.as_deref(), &wanted, &|view| view)
                })
                .await?;
            // What is made from now on is a change, and does not end the list.
            projects = Some(listed);
            let mut lines = Vec::new();
            for view in &page.items {
                write_line(&mut lines, ChangeKind::Added, &encode(self.watching.app.vault(), view));
            }
            if !lines.is_empty() {
                self.send(lines.into()).await?;
            }
            match page.next {
                Some(_) if self.is_over() => return Err(End::Quiet),
                Some(next) => query.continue_ = Some(next),
                None => {
                    self.at = Some(page.resource_version);
                    self.bookmark(page.resource_version, true).await?;
                    return Ok(page.resource_version);
                }
            }
        }
    }

    fn actor(&self) -> Result<Actor, End> {
        let vault = self.watching.app.vault();
        let told = |problem| End::Told(Box::new(problem));
        let actor = self.watching.credential.actor(vault).ok_or_else(|| told(unauthorized()))?;
        // Who has no right left in what they watch is cut off, and not just told nothing.
        permits(vault, &actor, self.watching.projects.clone().unwrap_or_default())
            .map_err(|refused| told(problem(refused)))?;
        Ok(actor)
    }

    async fn changes(&self, after: ResourceVersion) -> Result<Happenings, End> {
        let vault = self.watching.app.vault();
        let recent = permit(vault).map(|permit| vault.recent_changes(&permit, after));
        if let Ok(Some(changes)) = recent {
            return Ok(changes);
        }
        self.blocking(move |vault| Ok(vault.changes_after(&permit(vault)?, after)?)).await
    }

    async fn blocking<T: Send + 'static>(
        &self,
        act: impl FnOnce(&Vault) -> Result<T, Refused> + Send + 'static,
    ) -> Result<T, End> {
        let vault: Arc<Vault> = self.watching.app.shared_vault();
        let done = tokio::task::spawn_blocking(move || act(&vault)).await;
        let told = |problem| End::Told(Box::new(problem));
        match done {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(refused)) => Err(told(problem(refused))),
            Err(_) => Err(told(Problem::new(
                ProblemKind::Internal,
                "The daemon met a defect of its own; see its log.",
            ))),
        }
    }

    /// Sends changes a piece at a time, so that a thousand watches whose clients do not read hold
    /// little; a commit is never torn between two pieces.
    async fn send_changes(&mut self, actor: &Actor, changes: &[Arc<Happening>]) -> Result<(), End> {
        let mut lines = Vec::new();
        let at = |change: &Arc<Happening>| change.view.resource_version;
        for commit in changes.chunk_by(|one, next| at(one) == at(next)) {
            self.write_shown(&mut lines, actor, commit);
            if lines.len() >= PIECE_BYTES {
                self.send(std::mem::take(&mut lines).into()).await?;
                self.at = commit.last().map(at);
            }
        }
        if lines.is_empty() { Ok(()) } else { self.send(lines.into()).await }
    }

    /// The lines of those changes that the watcher may see and wants to.
    fn write_shown(&self, lines: &mut Vec<u8>, actor: &Actor, changes: &[Arc<Happening>]) {
        let vault = self.watching.app.vault();
        for change in changes {
            let head = &change.view.head;
            let project = &head.path.project;
            let wanted = match &self.watching.projects {
                None => true,
                Some(projects) => projects.contains(project),
            };
            if !wanted || !vault.may_list(actor, head) {
                continue;
            }
            // What is selected no longer is as good as gone; a client knows nothing else of it.
            let kind = match self.watching.query.selects(head) {
                true => change.kind,
                false => ChangeKind::Deleted,
            };
            write_line(lines, kind, change.encoded(|view| encode(vault, view)));
            self.watching.app.hub().lines.fetch_add(1, Ordering::Relaxed);
        }
    }

    async fn bookmark(&mut self, at: ResourceVersion, initial_end: bool) -> Result<(), End> {
        self.bookmark_due = Instant::now() + self.watching.app.limits().bookmark;
        let bookmark = Bookmark::at(at.to_string(), initial_end);
        self.send(line(&WatchLine::Bookmark(bookmark))).await
    }

    async fn send(&self, lines: Bytes) -> Result<(), End> {
        match self.lines.send_timeout(lines, SLOW).await {
            Ok(()) => Ok(()),
            Err(mpsc::error::SendTimeoutError::Closed(_)) => Err(End::Quiet),
            Err(mpsc::error::SendTimeoutError::Timeout(_)) => {
                self.watching.app.hub().cut_off.fetch_add(1, Ordering::Relaxed);
                let detail = "The watch was cut off because its lines were not read in time. Go on from resourceVersion.";
                Err(End::Told(Box::new(Problem::new(ProblemKind::RequestTimeout, detail))))
            }
        }
    }

    fn is_over(&self) -> bool {
        *self.closing.borrow() || Instant::now() >= self.ends
    }

    /// Until there may be something to do.
    async fn wait(&mut self) -> Result<(), End> {
        let due = (Instant::now() + CHECK).min(self.bookmark_due).min(self.ends);
        tokio::select! {
            _ = self.reached.changed() => Ok(()),
            _ = self.closing.changed() => Ok(()),
            () = tokio::time::sleep_until(due) => Ok(()),
            () = self.lines.closed() => Err(End::Quiet),
        }
    }
}

/// A page of the secrets of the projects that are named, or of all that the actor may list; and
/// which these are.
///
/// # Errors
/// When one of them may not be listed, or the query does not fit.
pub(crate) fn page<T>(
    vault: &Vault,
    actor: &Actor,
    named: Option<&[ProjectPath]>,
    query: &ListQuery,
    show: &dyn Fn(SecretView) -> T,
) -> Result<(Vec<ProjectPath>, ListPage<T>), Refused> {
    let projects = || named.map_or_else(|| listable(vault, actor), |named| Ok(named.to_vec()));
    settled(projects, |projects| {
        let page = vault.secrets_as(&permits(vault, actor, projects.clone())?, query, show)?;
        Ok((projects.clone(), page))
    })
}

/// The right to list what one may of each of the projects that are named, or of all that the actor may list.
///
/// # Errors
/// When one of them may not be listed.
pub(crate) fn permits_of(
    vault: &Vault,
    actor: &Actor,
    named: Option<&[ProjectPath]>,
) -> Result<Vec<Permit<List, PartOfProject>>, Refused> {
    let projects = named.map_or_else(|| listable(vault, actor), |named| Ok(named.to_vec()))?;
    permits(vault, actor, projects)
}

fn permits(
    vault: &Vault,
    actor: &Actor,
    projects: Vec<ProjectPath>,
) -> Result<Vec<Permit<List, PartOfProject>>, Refused> {
    let now = vault.clock().now();
    let decide = |project| decide::<List, _>(actor, PartOfProject(project), now);
    let permits = projects.into_iter().map(decide);
    Ok(permits.collect::<Result<_, _>>()?)
}

fn listable(vault: &Vault, actor: &Actor) -> Result<Vec<ProjectPath>, Refused> {
    Ok(vault.reachable_projects(actor)?)
}

/// What is read of some projects, once these are the same before and after. A project that is made
/// between the two would be missing from a list whose resource version says that it is not, and
/// who watches from there would never hear of what it holds.
fn settled<P: PartialEq, T>(
    projects: impl Fn() -> Result<P, Refused>,
    read: impl Fn(&P) -> Result<T, Refused>,
) -> Result<T, Refused> {
    let mut before = projects()?;
    loop {
        let found = read(&before);
        let after = projects()?;
        if before == after {
            return found;
        }
        before = after;
    }
}

fn encode(vault: &Vault, view: &SecretView) -> Vec<u8> {
    serde_json::to_vec(&show::event(view, vault)).unwrap_or_default()
}

/// The same bytes as [`WatchLine`] would make of it, without making the object again.
fn write_line(out: &mut Vec<u8>, kind: ChangeKind, object: &[u8]) {
    out.extend_from_slice(b"{\"type\":\"");
    out.extend_from_slice(kind.as_str().as_bytes());
    out.extend_from_slice(b"\",\"object\":");
    out.extend_from_slice(object);
    out.extend_from_slice(b"}\n");
}

fn line(line: &WatchLine) -> Bytes {
    let mut bytes = serde_json::to_vec(line).unwrap_or_default();
    bytes.push(b'\n');
    bytes.into()
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// A project that is made while the first list is read is in the list that is returned.
    #[test]
    fn a_list_of_all_projects_has_those_that_were_made_meanwhile() {
        let made = Cell::new(1);
        let projects = || Ok(made.get());
        let read = |projects: &u32| {
            made.set(2);
            Ok(*projects)
        };
        assert_eq!(settled(projects, read).unwrap(), 2);
    }

    /// A project that is removed while the first list is read does not refuse it.
    #[test]
    fn a_list_of_all_projects_does_without_those_that_are_gone() {
        let left = Cell::new(2);
        let projects = || Ok(left.get());
        let read = |projects: &u32| match *projects {
            1 => Ok("all that is left"),
            _ => {
                left.set(1);
                Err(Refused::Vault(vault::VaultError::NotFound))
            }
        };
        assert_eq!(settled(projects, read).unwrap(), "all that is left");
    }
}
