//! Authorities, nodes and strangers, over real sockets.

use super::*;
use crate::chat::scripts::seeds;
use rand::Rng;
use std::path::Path;
use std::time::{Duration, SystemTime};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const DAY: Duration = Duration::from_secs(24 * 3600);

fn authority(name: &str) -> Authority {
    Authority::make(name, SystemTime::now()).unwrap()
}

fn identity(dir: &Path, authority: &Authority, seat: u32) -> Arc<Identity> {
    let file = node_file(dir, seat);
    let text = authority.node(seat, SystemTime::now(), VALID_DAYS).unwrap();
    std::fs::write(&file, text).unwrap();
    Identity::load(&file, seat).unwrap()
}

/// Two ends of a TCP connection.
async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    (near, listener.accept().await.unwrap().0)
}

#[tokio::test]
async fn a_client_learns_the_authority_and_holds_on_to_it() {
    let dir = tempfile::tempdir().unwrap();
    let (west, east) = (authority("west"), authority("east"));
    let server = Server::new(&identity(dir.path(), &west, 1)).unwrap();
    for expected in [None, Some(west.fingerprint())] {
        let (near, far) = pair().await;
        let (client, server) = tokio::join!(connect(near, expected), server.accept(far));
        let (client, server) = (client.unwrap(), server.unwrap());
        assert_eq!(client.authority(), Some(west.fingerprint()));
        assert_eq!(server.authority(), None, "clients show no certificate");
        let ((mut read, _near), (_far, mut write)) = (client.split(), server.split());
        write.write_all(b"hello").await.unwrap();
        write.flush().await.unwrap();
        let mut got = [0; 5];
        read.read_exact(&mut got).await.unwrap();
        assert_eq!(&got, b"hello");
    }
    let (near, far) = pair().await;
    let (client, _) = tokio::join!(connect(near, Some(east.fingerprint())), server.accept(far));
    let changed = Changed { expected: east.fingerprint(), found: west.fingerprint() };
    assert_eq!(Changed::of(&client.unwrap_err()), Some(changed));
}

/// It shows the right authority's certificate, and its own by another one of the same name.
#[tokio::test]
async fn a_borrowed_authority_proves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (west, rogue) = (authority("west"), authority("west"));
    let file = node_file(dir.path(), 1);
    let own = rogue.node(1, SystemTime::now(), VALID_DAYS).unwrap();
    let forged = own.replace(rogue.certificate().trim(), west.certificate().trim());
    assert_ne!(own, forged);
    std::fs::write(&file, &forged).unwrap();
    assert!(Identity::load(&file, 1).unwrap_err().to_string().contains("not of node 1"));
    // No server of ours starts with that; one of somebody else's does.
    let parts: Vec<_> = pem::parse_many(&forged).unwrap();
    let chain = parts.iter().filter(|part| part.tag() == "CERTIFICATE");
    let chain = chain.map(|part| part.contents().to_vec().into()).collect();
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(parts[0].contents().to_vec());
    let config = rustls::ServerConfig::builder_with_provider(PROVIDER.clone())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key.into())
        .unwrap();
    let rogue = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    for expected in [None, Some(west.fingerprint())] {
        let (near, far) = pair().await;
        let (client, server) = tokio::join!(connect(near, expected), rogue.accept(far));
        assert!(client.is_err() && server.is_err());
    }
}

#[tokio::test]
async fn servers_prove_their_cluster_and_their_seat_to_each_other() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (west, east) = (authority("west"), authority("east"));
    let [one, two] = [1, 2].map(|seat| Peers::new(&identity(dir.path(), &west, seat)).unwrap());
    let stranger = Peers::new(&identity(other.path(), &east, 1)).unwrap();

    let (near, far) = pair().await;
    let (dials, listens) = tokio::join!(one.connect(near, 2), two.accept(far));
    let (dials, listens) = (dials.unwrap(), listens.unwrap());
    assert!(dials.proof().is_node(2) && !dials.proof().is_node(3));
    assert!(listens.proof().is_node(1) && !listens.proof().is_node(2));

    let (near, far) = pair().await;
    let (dials, listens) = tokio::join!(one.connect(near, 3), two.accept(far));
    assert!(dials.is_err() && listens.is_err(), "node 2 is not node 3");
    let (near, far) = pair().await;
    let (dials, listens) = tokio::join!(stranger.connect(near, 2), two.accept(far));
    assert!(dials.is_err() && listens.is_err(), "of another cluster");
    let (near, far) = pair().await;
    let (_client, listens) = tokio::join!(connect(near, None), two.accept(far));
    assert!(listens.is_err(), "a client is no server");
}

#[tokio::test]
async fn an_expired_certificate_is_refused_and_can_be_renewed_while_the_node_runs() {
    let dir = tempfile::tempdir().unwrap();
    let (west, now) = (authority("west"), SystemTime::now());
    let file = node_file(dir.path(), 1);
    std::fs::write(&file, west.node(1, now - 3 * DAY, 1).unwrap()).unwrap();
    let identity = Identity::load(&file, 1).unwrap();
    let server = Server::new(&identity).unwrap();
    assert!(
        u128::from(identity.keys().until_ms)
            < now.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis()
    );
    let (near, far) = pair().await;
    let (client, _) = tokio::join!(connect(near, None), server.accept(far));
    assert!(client.unwrap_err().to_string().contains("xpired"));

    assert!(!identity.reload().unwrap(), "nothing is new");
    std::fs::write(&file, authority("west").node(1, now, 9).unwrap()).unwrap();
    assert!(identity.reload().is_err(), "another authority");
    std::fs::write(&file, "half of a fi").unwrap();
    assert!(identity.reload().is_err());
    std::fs::write(&file, west.node(1, now, 9).unwrap()).unwrap();
    assert!(identity.reload().unwrap());
    let (near, far) = pair().await;
    let (client, _) = tokio::join!(connect(near, Some(west.fingerprint())), server.accept(far));
    client.unwrap();
}

#[test]
fn hints_are_of_the_node_that_signed_them_and_nothing_else_passes() {
    let west = authority("west");
    let text = west.node(2, SystemTime::now(), VALID_DAYS).unwrap();
    let keys = NodeKeys::parse(&text, 2).unwrap();
    let (now, west) = (SystemTime::now(), west.fingerprint());
    seeds(200, |rng| {
        let words: Vec<u8> = (0..rng.random_range(0..300)).map(|_| rng.random()).collect();
        let signature = keys.hint.sign(&words);
        assert_eq!(Hint::verify(&words, 2, &signature, now), Some(west));
        let later = now + (u32::try_from(VALID_DAYS).unwrap() + 1) * DAY;
        assert_eq!(Hint::verify(&words, 2, &signature, later), None, "no longer vouched for");
        assert_eq!(Hint::verify(&words, 1, &signature, now), None, "of another seat");
        let mut other = signature;
        other[rng.random_range(0..SIGNATURE_BYTES)] ^= 1 << rng.random_range(0..8);
        assert_ne!(Hint::verify(&words, 2, &other, now), Some(west));
        assert_eq!(Hint::verify(&[&words[..], &[0]].concat(), 2, &signature, now), None);
        assert_eq!(Hint::verify(&words, 2, &signature[1..], now), None);
    });
}

#[test]
fn what_does_not_belong_together_is_refused_in_words() {
    let (west, now) = (authority("west"), SystemTime::now());
    let (one, two) = (west.node(1, now, 9).unwrap(), west.node(1, now, 9).unwrap());
    let parts = |text: &str| pem::parse_many(text).unwrap();
    let mixed = |of_other: usize| {
        let mut mixed = parts(&one);
        mixed[of_other] = parts(&two).remove(of_other);
        pem::encode_many(&mixed)
    };
    assert!(NodeKeys::parse(&one, 1).is_ok());
    for (text, seat, why) in [
        (one.clone(), 2, "not of node 2"),
        (mixed(0), 1, "do not belong together"),
        (mixed(3), 1, "do not belong together"),
        (west.certificate(), 1, "no private key"),
        (west.private_key(), 1, "two certificates"),
        (String::new(), 1, "no private key"),
    ] {
        let error = NodeKeys::parse(&text, seat).err().unwrap();
        assert!(error.contains(why), "{error}");
    }
}

#[test]
fn keys_are_made_once_and_kept_from_others() {
    let dir = tempfile::tempdir().unwrap();
    let (keys, now) = (dir.path().join("keys"), SystemTime::now());
    assert!(matches!(make_node(&keys, 1, false, now), Err(KeysError::Missing(_))));
    let made = make_keys(&keys, "west", now).unwrap();
    assert!(matches!(make_keys(&keys, "west", now), Err(KeysError::Exists(_))));
    assert_eq!(authority_of(&keys).unwrap(), made);
    let file = make_node(&keys, 1, false, now).unwrap();
    assert!(matches!(make_node(&keys, 1, false, now), Err(KeysError::Exists(_))));
    let before = std::fs::read(&file).unwrap();
    make_node(&keys, 1, true, now).unwrap();
    assert_ne!(std::fs::read(&file).unwrap(), before);
    #[cfg(unix)]
    for entry in std::fs::read_dir(&keys).unwrap() {
        use std::os::unix::fs::PermissionsExt;
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o077, 0, "{entry:?}");
    }
    // What a server has is enough to know its cluster.
    std::fs::remove_file(keys.join("cluster.crt")).unwrap();
    assert_eq!(authority_of(&keys).unwrap(), made);
}

#[test]
fn fingerprints_are_written_and_read() {
    let made = authority("west").fingerprint();
    assert_eq!(made.to_string().parse(), Ok(made));
    assert_eq!(made.to_string().len(), "SHA256:".len() + 43);
    for bad in ["", "SHA256:", "SHA256:abc", "MD5:aa", &made.to_string()[..49]] {
        assert!(bad.parse::<Fingerprint>().is_err(), "{bad}");
    }
    // RFC 8410, section 10.1: the digest as `openssl pkey -pubin -outform der | openssl dgst -sha256 -binary | base64`.
    let key = *b"\x19\xbf\x44\x09\x69\x84\xcd\xfe\x85\x41\xba\xc1\x67\xdc\x3b\x96\xc8\x50\x86\xaa\x30\xb6\xb6\xcb\x0c\x5c\x38\xad\x70\x31\x66\xe1";
    assert_eq!(Fingerprint::of_key(&key).to_string(), RFC_8410);
}

const RFC_8410: &str = "SHA256:oekVYFTgT6yJmunydRMs3Ael28TqLCrTof/G4NJTaB8";

/// Carries bytes from one end to the other, and counts them; the byte at `spoil` is changed.
async fn carry(
    mut from: impl tokio::io::AsyncRead + Unpin,
    mut to: impl tokio::io::AsyncWrite + Unpin,
    spoil: Option<usize>,
) -> Vec<u8> {
    let (mut seen, mut step) = (Vec::new(), [0; 4096]);
    while let Ok(count @ 1..) = from.read(&mut step).await {
        let begin = seen.len();
        if let Some(at) = spoil.filter(|at| (begin..begin + count).contains(at)) {
            step[at - begin] ^= 1;
        }
        seen.extend_from_slice(&step[..count]);
        if to.write_all(&step[..count]).await.is_err() || to.flush().await.is_err() {
            break;
        }
    }
    drop(to.shutdown().await);
    seen
}

/// A connection within two others: whoever carries it ends both, and sees neither key nor text.
#[tokio::test]
async fn a_connection_within_another_is_of_who_is_at_its_end() {
    let (near_dir, far_dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (west, east) = (authority("west"), authority("east"));
    let carrier = Server::new(&identity(near_dir.path(), &west, 1)).unwrap();
    let home = Server::new(&identity(far_dir.path(), &east, 1)).unwrap();
    let text = [b'x'; 5000];
    for (expected, spoil, well) in [
        (east.fingerprint(), None, true),
        (west.fingerprint(), None, false),
        (east.fingerprint(), Some(100), false),
        (east.fingerprint(), Some(3000), false),
    ] {
        let ((near, outer), (inner, far)) = (pair().await, pair().await);
        let guest = async {
            let outer = connect(near, Some(west.fingerprint())).await.unwrap();
            let (read, write) = outer.split();
            let outer = Stream::join(read, write).unwrap();
            let mut stream = connect_within(outer, expected).await?;
            assert_eq!(stream.authority(), Some(east.fingerprint()));
            stream.write_all(&text).await?;
            stream.flush().await?;
            let mut answer = [0; 2];
            stream.read_exact(&mut answer).await.map(|_| answer)
        };
        let carried = async {
            let (outer, inner) = tokio::join!(carrier.accept(outer), connect(inner, None));
            let ((from, back), (answers, to)) = (outer.unwrap().split(), inner.unwrap().split());
            tokio::join!(carry(from, to, spoil), carry(answers, back, None)).0
        };
        let host = async {
            let mut stream = home.accept_within(home.accept(far).await.unwrap()).await?;
            let mut got = [0; 5000];
            stream.read_exact(&mut got).await?;
            assert_eq!(got, text);
            stream.write_all(b"ok").await?;
            stream.flush().await
        };
        let (answer, seen, host) = tokio::join!(guest, carried, host);
        assert_eq!(answer.is_ok(), well, "{answer:?}");
        assert_eq!(host.is_ok(), well, "{host:?}");
        assert!(!seen.windows(16).any(|part| part == &text[..16]), "it is encrypted");
    }
}
