//! Every bound of the program, with its unit and its reason. It knows nothing else.

use std::time::Duration;

/// Largest message body, in bytes (design: 16 KiB).
pub const BODY_BYTES: usize = 16 * 1024;
/// Refusals a device may leave unconfirmed in a group, so that its state stays constant.
pub const REFUSALS: usize = 64;
/// Messages a device may have sent and not yet seen acknowledged.
pub const WINDOW_MESSAGES: u32 = 4096;
/// Bytes of bodies a device may have sent and not yet seen acknowledged.
pub const WINDOW_BYTES: u32 = 1024 * 1024;

/// Largest frame from a client that has not logged in, in bytes.
pub const FRAME_BEFORE_LOGIN: usize = 4 * 1024;
/// Largest frame from a client after login, in bytes: a full batch and its envelope.
pub const FRAME_CLIENT: usize = 320 * 1024;
/// Largest frame from a server to a client, in bytes.
pub const FRAME_SERVER: usize = 1024 * 1024;
/// Largest frame between two servers, in bytes: small, so that bulk never delays a heartbeat.
pub const FRAME_PEER: usize = 64 * 1024;
/// Largest message between two servers, put together from fragments, in bytes.
pub const MESSAGE_PEER: usize = 8 * 1024 * 1024;
/// A read buffer grows by at most this much ahead of the bytes received.
pub const READ_STEP: usize = 16 * 1024;

/// A frame's payload from this size on is shared with whoever else is sent it, not copied.
pub const OUT_SHARED: usize = 4 * 1024;
/// Smaller frames that wait to be written lie together in pieces of about this size.
pub const OUT_PIECE: usize = 16 * 1024;

/// Messages in one entry of the log.
pub const ENTRY_MESSAGES: usize = 512;
/// Bytes of commands in one entry of the log, unless one command alone is larger.
pub const ENTRY_BYTES: usize = 256 * 1024;
/// An entry of fewer messages waits for those before it, and so takes what comes meanwhile: what an
/// entry costs by itself, syncs and wake-ups on every server, outweighs that of so many messages.
pub const ENTRY_WORTH: usize = 64;
/// Entries proposed and not yet committed.
pub const ENTRIES_IN_FLIGHT: usize = 16;
/// Entries applied in one write of the state.
pub const APPLY_ENTRIES: usize = 64;
/// Bytes of commands applied in one write of the state, unless one entry alone is larger.
pub const APPLY_BYTES: usize = 1024 * 1024;
/// Where the leader's clock jumps, the time in an entry is at most this much after the one before.
pub const CLOCK_JUMP: Duration = Duration::from_secs(5);
/// Events of the election history that are kept.
pub const ELECTION_EVENTS: usize = 512;
/// Callers that wait for one node's quorum reads.
pub const READS_WAITING: usize = 4096;
/// A quorum read takes at most this long.
pub const READ_TIME: Duration = Duration::from_secs(5);
/// Bytes of rows in one page of a snapshot, unless one value alone is larger.
pub const SNAPSHOT_PAGE: usize = 512 * 1024;
/// A backup is sent within this time.
pub const BACKUP_TIME: Duration = Duration::from_secs(6 * 3600);
/// Longest piece of a backup, in bytes: a page of a snapshot, of which one value may be larger.
pub const BACKUP_PIECE: usize = 64 * 1024 * 1024;
/// Numbers of users and conversations that a recovery may leave out.
pub const RECOVERY_SKIP: u64 = 1 << 40;
/// Ids of earlier clusters that a cluster restored from a backup remembers.
pub const FORMER_CLUSTERS: usize = 8;
/// Other clusters that are known, those that were only heard among them.
pub const LINKS: usize = 64;
/// Bytes of the name that another cluster gives itself, as it is kept here.
pub const HEARD_NAME: usize = 64;
/// Bytes of a host's name, as DNS has it.
pub const HOST_NAME: usize = 253;
/// How often the leader asks which other clusters there are.
pub const SEEK: Duration = Duration::from_secs(3);
/// A cluster that goes on answering is noted again after this time.
pub const HEARD_AGAIN: Duration = Duration::from_secs(60);
/// One that was only seen is forgotten after this time of silence.
pub const LINK_FORGET: Duration = Duration::from_secs(600);
/// An address where another cluster answered is looked at again after this time.
pub const LOOK_AGAIN: Duration = Duration::from_secs(20);
/// Addresses that are looked at at a time.
pub const LOOKS: usize = 4;
/// Clusters that nobody trusts whose news enter the log at a time: they are anybody's to make.
pub const HEARD_AT_ONCE: usize = 8;
/// Servers of one other cluster that are remembered.
pub const LINK_SERVERS: usize = 16;
/// Users, devices and conversations that one other cluster may bring here.
pub const LINK_ROWS: u64 = 1_000_000;
/// Stretches of unseen messages that a conversation with a user of another cluster remembers,
/// half of them of each of the two.
pub const TRAIL: usize = 128;
/// Messages in one export to another cluster.
pub const EXPORT_MESSAGES: usize = 512;
/// Bytes of bodies in one export, unless one body alone is larger.
pub const EXPORT_BYTES: usize = 64 * 1024;
/// Exports in one answer to another cluster.
pub const EXPORTS_PER_FRAME: usize = 4_096;
/// Bytes of exports in one answer to another cluster, unless one alone is larger: one entry of
/// its log.
pub const EXPORTS_BYTES: u32 = 256 * 1024;
/// A line to another cluster stands within this time, or is tried again.
pub const LINK_CONNECT: Duration = Duration::from_secs(3);
/// A pull that finds nothing is answered after this time: an idle link costs that little, and a
/// line that is cut is noticed as soon.
pub const LINK_WAIT: Duration = Duration::from_secs(4);
/// The longest that a pull may wait.
pub const LINK_WAIT_MAX: Duration = Duration::from_secs(30);
/// An answer of another cluster comes within this time after the wait that was asked for.
pub const LINK_ANSWER: Duration = Duration::from_secs(4);
/// What was proposed for another cluster is applied within this time, or is proposed again.
pub const LINK_COMMIT: Duration = Duration::from_secs(3);
/// The wait before a line is tried again, at first and at most.
pub const LINK_RETRY: Duration = Duration::from_millis(200);
/// See [`LINK_RETRY`].
pub const LINK_RETRY_MAX: Duration = Duration::from_secs(5);
/// Bytes a second that another cluster may take on one connection.
pub const LINK_BYTES_PER_SECOND: f64 = 32.0 * 1024.0 * 1024.0;
/// Devices of one other cluster's users that are guests at one server, and devices of this one's
/// that another cluster carries to one server.
pub const GUESTS_PER_LINK: usize = 1024;
/// The same of one user.
pub const GUESTS_PER_USER: usize = 16;
/// Bytes that are held for a guest on their way home, and as many on their way back; beside them
/// is what the two connections buffer.
pub const CARRY_STEP: usize = 16 * 1024;
/// What a cluster says of a device, for other clusters, holds for this time.
pub const CERTIFICATE_TIME: Duration = Duration::from_secs(30 * 86_400);
/// A device asks for another certificate when its own holds for less than this.
pub const CERTIFICATE_RENEW: Duration = Duration::from_secs(23 * 86_400);
/// Largest frame that one cluster sends another, in bytes: a page, of which one export may be
/// larger.
pub const FRAME_LINK: usize = 1024 * 1024;
/// Commands waiting at the leader for a place in an entry.
pub const PROPOSALS: usize = 4096;
/// Bytes of the commands that wait.
pub const PROPOSAL_BYTES: usize = 16 * 1024 * 1024;

/// What an entry counts beside its payload towards the next snapshot, in bytes. Several times
/// its place in memory until it is purged (about 450), so that entries of one message bring a
/// snapshot every 20,000 or so, and not when they take tens of MiB.
pub const LOG_ENTRY_COST: u64 = 3_000;
/// Bytes of one file of the log. The entries of the newest file stay in memory, so this bounds
/// memory as well.
pub const LOG_FILE_BYTES: usize = 8 * 1024 * 1024;
/// Log bytes since the last snapshot that bring the next one.
pub const SNAPSHOT_LOG_BYTES: u64 = 64 * 1024 * 1024;

/// What the embedded store has committed is written to its tables this long after the last write:
/// rows that every entry changes are then written once.
pub const BEHIND_PAUSE: Duration = Duration::from_millis(20);
/// Bytes of rows that are written without a pause.
pub const BEHIND_STEP: usize = 1024 * 1024;
/// After so many bytes the tables' journal is synced: where megabytes come to be at once, the log,
/// on the same disk, waits for them as well.
pub const BEHIND_SYNC: usize = 256 * 1024;
/// Bytes of rows that wait while others are written; the next commit waits then.
pub const BEHIND_BYTES: usize = 8 * 1024 * 1024;

/// One question to a database is answered within this time, or asked again.
pub const STORE_ATTEMPT: Duration = Duration::from_secs(2);
/// A database that gives no clear answer for this long is unavailable.
pub const STORE_PATIENCE: Duration = Duration::from_secs(5);
/// A process that holds a database says so this often.
pub const STORE_BEAT: Duration = Duration::from_millis(500);
/// It speaks for the data for this long after it asked, and was told, that it is the owner:
/// longer than a beat and the slowest answer together.
pub const STORE_LEASE: Duration = Duration::from_secs(3);
/// An owner that is silent for this long may be replaced: longer than its lease and than
/// `PEER_SILENCE` together, so that no word of its own still reaches another server.
pub const STORE_CLAIM_WATCH: Duration = Duration::from_secs(5);
/// Between two flushes of the state to a database, unless somebody waits for it.
pub const STORE_FLUSH_PAUSE: Duration = Duration::from_millis(20);
/// Writes of the log that wait for a database.
pub const STORE_QUEUE: usize = 4096;
/// Entries of the log that go to a database together.
pub const STORE_GROUP: usize = 1024;
/// Bytes of entries that go to a database together, unless one entry alone is larger.
pub const STORE_GROUP_BYTES: usize = 8 * 1024 * 1024;
/// Bytes of the newest log entries kept in memory beside a database.
pub const STORE_LOG_CACHE: usize = 16 * 1024 * 1024;
/// Applied entries that a database has not taken yet; the next one waits.
pub const STORE_BACKLOG: usize = 2048;
/// Bytes of their rows.
pub const STORE_BACKLOG_BYTES: usize = 16 * 1024 * 1024;

/// Sessions of one server, logged in or not.
pub const SESSIONS: usize = 20_000;
/// Connections of one server that have not logged in.
pub const SESSIONS_BEFORE_LOGIN: usize = 512;
/// Of these, connections from one IPv4 address or one IPv6 /64: many people may share one, and
/// eight such addresses fill a server.
pub const STRANGERS_PER_ADDRESS: usize = 64;
/// Connections that found no room and are being told so; who comes on top is not told.
pub const TURNED_AWAY: usize = 64;
/// Events that wait for one session before it catches up from the store instead.
pub const SESSION_EVENTS: usize = 64;
/// Bytes that wait for one client's socket; beyond it nothing more is encoded or read for it.
/// Small, for it is what a client that has stopped reading costs, beside one page of history;
/// for those that read, the kernel holds more than this on its way anyway.
pub const SESSION_OUT_BYTES: usize = 64 * 1024;
/// Hello, login and registration together take at most this long.
pub const LOGIN_TIME: Duration = Duration::from_secs(10);
/// Of this, what the client may take until it has said who it is: the time in which the server
/// has nothing to do but wait for it.
pub const LOGIN_OWED: Duration = Duration::from_secs(5);
/// A frame from a client is complete this long after its first byte; and one whose bytes keep
/// coming pauses no longer than this.
pub const FRAME_TIME: Duration = Duration::from_secs(10);
/// A frame longer than this, in bytes, has more time on a slow line.
pub const FRAME_LONG: usize = 64 * 1024;
/// A long frame is complete this long after its first byte.
pub const FRAME_TIME_LONG: Duration = Duration::from_secs(30);
/// A client that sends nothing for this long is gone; it pings every 15 s.
pub const CLIENT_SILENCE: Duration = Duration::from_secs(60);
/// A client that takes nothing for this long although something waits for it is gone.
pub const CLIENT_STUCK: Duration = Duration::from_secs(120);

/// A client for whom this much time passes without room in its buffer is gone, although it takes a
/// byte now and then.
pub const CLIENT_SLOW: Duration = Duration::from_secs(600);

/// Heartbeats are sent by Raft this often.
pub const HEARTBEAT: Duration = Duration::from_millis(500);
/// A connection between servers that is silent for this long is dead.
pub const PEER_SILENCE: Duration = Duration::from_millis(1200);
/// Payload of one frame between servers, in bytes: what a heartbeat may have to wait behind.
pub const PEER_FRAGMENT: usize = 32 * 1024;
/// What every fragment costs of a lane's credit besides its payload, in bytes, so that
/// messages without payload are bounded too.
pub const PEER_FRAGMENT_COST: usize = 128;
/// Credit of the control lane, in bytes and per direction: its messages are small.
pub const PEER_CONTROL_BYTES: usize = 512 * 1024;
/// Credit of every other lane between servers, in bytes and per direction: one message of
/// the greatest length and the cost of its fragments. As much may wait to be sent.
pub const PEER_LANE_BYTES: usize =
    MESSAGE_PEER + (MESSAGE_PEER / PEER_FRAGMENT + 1) * PEER_FRAGMENT_COST;
/// Messages of one kind of the control lane that are handled at once for one server.
pub const PEER_CONTROL_HANDLERS: usize = 32;
/// Calls to one server that wait for their answer.
pub const PEER_CALLS: usize = 4096;
/// Connections to the port for servers that have not said who they are.
pub const PEER_STRANGERS: usize = 64;
/// The same from one address: as many as nine servers behind one need, and some.
pub const PEER_STRANGERS_OF_ONE: usize = 16;
/// What strangers do at that port is logged at most this often.
pub const PEER_STRANGERS_LOG: Duration = Duration::from_secs(5);
/// A ping goes out this often, so that no living connection is silent.
pub const PEER_PING: Duration = Duration::from_millis(300);
/// A connection to another server is made within this time or tried again. Together with
/// `PEER_BACKOFF_MAX` under 1 s: the bound for a path that has returned to be used again.
pub const PEER_CONNECT: Duration = Duration::from_millis(300);
/// The server that was dialled answers with its hello within this time.
pub const PEER_HELLO: Duration = Duration::from_millis(500);
/// The shortest wait before a server is dialled again.
pub const PEER_BACKOFF_MIN: Duration = Duration::from_millis(50);
/// The longest wait before a server is dialled again.
pub const PEER_BACKOFF_MAX: Duration = Duration::from_millis(400);
/// The kernel gives up this long after bytes to another server stay unacknowledged.
pub const PEER_ORPHAN: Duration = Duration::from_secs(5);
/// Before a store that did not answer is opened again; twice as long each time, up to the next.
pub const REOPEN_MIN: Duration = Duration::from_millis(200);
/// The longest wait before a store that did not answer is opened again.
pub const REOPEN_MAX: Duration = Duration::from_secs(2);
/// Highest seat in `nodes.conf`: Raft ids are seats plus thousands.
pub const SEAT: u32 = 999;
/// An orderly end of a server takes at most this long, unless its settings say otherwise.
pub const SHUTDOWN_GRACE: Duration = Duration::from_secs(30);
/// Days of a server's log files that are kept, unless its settings say otherwise.
pub const LOG_FILES: usize = 14;
/// How often a server looks whether its key was renewed.
pub const KEYS_LOOK: Duration = Duration::from_secs(10);
/// A running node tells its owner this often that consensus still answers.
pub const BEAT: Duration = Duration::from_millis(500);
/// Servers in `nodes.conf`.
pub const NODES: usize = 9;
/// A discovery question, in bytes: padded, since no answer is longer than its question.
pub const QUESTION_BYTES: usize = 1024;
/// Shorter questions get no answer.
pub const QUESTION_LEAST: usize = 512;

/// Bytes of pushes that wait for one session; beyond it reads them from the store instead.
pub const SESSION_QUEUE_BYTES: usize = 256 * 1024;
/// Bytes of one page of history read for a session (at least one value).
pub const PAGE_BYTES: usize = 128 * 1024;
/// Conversations told to a client in one frame.
pub const CONVERSATIONS_PER_FRAME: usize = 64;
/// Invitations that are not used: they lie in a row that every entry of the log writes.
pub const INVITATIONS: usize = 64;
/// An invitation is worth nothing after this time at the latest.
pub const INVITATION_TIME: Duration = Duration::from_secs(365 * 86_400);
/// Devices that a user is told of: the newest, and before the revoked ones; a frame holds more.
pub const DEVICES_TOLD: usize = 1024;
/// Requests of one session that are not answered yet.
pub const REQUESTS: usize = 8;
/// Bytes of bodies that all sessions of a server hold until they are committed.
pub const HELD_BYTES: usize = 128 * 1024 * 1024;
/// Passwords that wait to be hashed; one is hashed at a time (about 30 ms each).
pub const PASSWORDS: usize = 64;
/// Of these, passwords from one IPv4 address or one IPv6 /64.
pub const PASSWORDS_PER_ADDRESS: usize = 8;
/// Longest password, in bytes.
pub const PASSWORD_BYTES: usize = 1024;
/// Pairs of name and address whose failed logins are remembered.
pub const FAILED_LOGINS: usize = 4096;
/// Marks in one frame of a client; several times what one that means well sends at once.
pub const MARKS_PER_FRAME: usize = 4096;
/// Servers, events and the like in one frame of a server.
pub const STATED: usize = 1024;
/// Runs of messages, marks and the like in one frame of a server: a page has a fourth of it.
pub const RUNS_PER_FRAME: usize = 8192;
/// Messages in one frame of a server: a page of the shortest ones has two thirds of it.
pub const BODIES_PER_FRAME: usize = 32_768;
/// Positions (one for each group of conversations) that a client names in `Resume`.
pub const CLIENT_POSITIONS: usize = 1024;
/// Marks of a server that are not applied yet; what comes on top is not taken.
pub const MARKS: usize = 65_536;
/// Marks in one command.
pub const MARKS_PER_COMMAND: usize = 1024;
/// Marks are replicated at most this often.
pub const MARKS_INTERVAL: Duration = Duration::from_millis(200);
/// Messages of a client's outbox that have no outcome yet; `send` waits for room above it.
pub const OUTBOX_MESSAGES: u64 = 16_384;
/// Bytes of bodies in a client's outbox that have no outcome yet.
pub const OUTBOX_BYTES: usize = 16 * 1024 * 1024;
/// An outbox file is written anew when it is longer than this and mostly done, in bytes.
pub const OUTBOX_FILE: u64 = 4 * 1024 * 1024;
/// Events of a client that its user has not taken; above it the client stops reading its socket.
pub const CLIENT_EVENTS: usize = 1024;
/// Bytes of messages in those events.
pub const CLIENT_EVENT_BYTES: usize = 4 * 1024 * 1024;
/// Requests (history, look-ups) of a client that wait for their answer.
pub const CLIENT_REQUESTS: usize = 64;
/// Bytes of messages that a client holds because an earlier one of their conversation is missing.
pub const CLIENT_HELD_BYTES: usize = 1024 * 1024;
/// Conversations that a client names in `Resume`; more than this fit into no frame.
pub const CLIENT_HAVE: usize = 16_384;
/// Messages that a client asks for in one `Fetch`.
pub const FETCH_MESSAGES: u64 = 512;
/// Devices of one user on one machine: processes that chat at the same time.
pub const DEVICES: u32 = 64;
/// Redirects in a row that a client follows before it backs off.
pub const REDIRECTS: u32 = 5;

/// Threads of the runtime that run tasks; fewer on a machine with fewer cores.
pub const WORKERS: usize = 4;
/// Threads for calls that block: disk, name resolution, standard input.
pub const BLOCKING_THREADS: usize = 16;
/// Texts that wait between the chat screen and the outbox, and answers that wait for the screen.
pub const UI_WAITING: usize = 64;
/// Events of the client or the terminal that a screen takes before it draws again.
pub const UI_BATCH: usize = 512;

/// HTTP connections of probes and operators that are served at once.
pub const ADMIN_CONNECTIONS: usize = 32;
/// An HTTP request's head arrives within this time.
pub const ADMIN_HEADER: Duration = Duration::from_secs(5);
/// An HTTP connection ends after this time; longer than any order takes.
pub const ADMIN_TIME: Duration = Duration::from_secs(120);
/// Bytes of the body of an HTTP request.
pub const ADMIN_BODY: usize = 16 * 1024;
/// Another node's answer for a page about the cluster may take this long.
pub const ADMIN_ASKS: Duration = Duration::from_millis(900);
/// Recorded times are taken in this often.
pub const METRICS_UPKEEP: Duration = Duration::from_secs(5);
