//! A connection, encrypted or not, whole or as its two directions. It must not know
//! what goes over it.

use super::{Fingerprint, node_name, server_name};
use rustls::client::verify_server_name;
use rustls::pki_types::CertificateDer;
use rustls::server::ParsedCertificate;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio_rustls::TlsStream;

/// A connection.
#[derive(Debug)]
pub enum Stream {
    /// As it is, where both sides were told so.
    Plain(TcpStream),
    /// TLS 1.3.
    Tls(Box<TlsStream<TcpStream>>),
    /// TLS 1.3 within a connection that others carry.
    Within(Box<TlsStream<Stream>>),
}

impl From<TcpStream> for Stream {
    fn from(stream: TcpStream) -> Self {
        Self::Plain(stream)
    }
}

impl Stream {
    /// The socket.
    #[must_use]
    pub fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => stream.get_ref().0,
            Self::Within(stream) => stream.get_ref().0.socket(),
        }
    }

    /// What the other side of the encryption showed, the node's own first.
    fn shown(&self) -> Option<&[CertificateDer<'static>]> {
        match self {
            Self::Plain(_) => None,
            Self::Tls(stream) => stream.get_ref().1.peer_certificates(),
            Self::Within(stream) => stream.get_ref().1.peer_certificates(),
        }
    }

    /// The authority whose certificate the other side showed, which was checked; `None` where it
    /// showed none.
    #[must_use]
    pub fn authority(&self) -> Option<Fingerprint> {
        Fingerprint::of_certificate(self.shown()?.last()?)
    }

    /// What the other side proved.
    #[must_use]
    pub fn proof(&self) -> Proof {
        match self {
            Self::Plain(_) => Proof::NoneNeeded,
            Self::Tls(_) | Self::Within(_) => {
                let shown = self.shown().and_then(<[_]>::first);
                Proof::Certificate(shown.cloned())
            }
        }
    }

    /// Both directions, for a task that uses them at once.
    #[must_use]
    pub fn split(self) -> (ReadHalf, WriteHalf) {
        match self {
            Self::Plain(stream) => {
                let (read, write) = stream.into_split();
                (ReadHalf::Plain(read), WriteHalf::Plain(write))
            }
            Self::Tls(stream) => {
                let (read, write) = tokio::io::split(*stream);
                (ReadHalf::Tls(read), WriteHalf::Tls(write))
            }
            Self::Within(stream) => {
                let (read, write) = tokio::io::split(*stream);
                (ReadHalf::Within(read), WriteHalf::Within(write))
            }
        }
    }

    /// A connection whole again; `None` where the two are not of the same one.
    #[must_use]
    pub fn join(read: ReadHalf, write: WriteHalf) -> Option<Self> {
        match (read, write) {
            (ReadHalf::Plain(read), WriteHalf::Plain(write)) => {
                read.reunite(write).ok().map(Self::Plain)
            }
            (ReadHalf::Tls(read), WriteHalf::Tls(write)) => {
                read.is_pair_of(&write).then(|| Self::Tls(Box::new(read.unsplit(write))))
            }
            (ReadHalf::Within(read), WriteHalf::Within(write)) => {
                read.is_pair_of(&write).then(|| Self::Within(Box::new(read.unsplit(write))))
            }
            _ => None,
        }
    }
}

/// For what lies over it.
impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, into),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, into),
            Self::Within(stream) => Pin::new(stream).poll_read(cx, into),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Within(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
            Self::Within(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Within(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

/// What the other side of a connection proved to be.
#[derive(Clone, Debug)]
pub enum Proof {
    /// Nothing, on a plain connection.
    NoneNeeded,
    /// The holder of this certificate, which was checked, if it showed any.
    Certificate(Option<CertificateDer<'static>>),
}

impl Proof {
    /// True where it is the node at `seat`, and where nobody proves anything.
    #[must_use]
    pub fn is_node(&self, seat: u32) -> bool {
        let Self::Certificate(shown) = self else { return true };
        let parsed = shown.as_ref().and_then(|shown| ParsedCertificate::try_from(shown).ok());
        let name = server_name(&node_name(seat)).ok();
        parsed.zip(name).is_some_and(|(parsed, name)| verify_server_name(&parsed, &name).is_ok())
    }
}

/// What comes.
#[derive(Debug)]
pub enum ReadHalf {
    /// Unencrypted.
    Plain(OwnedReadHalf),
    /// TLS.
    Tls(tokio::io::ReadHalf<TlsStream<TcpStream>>),
    /// TLS within another connection.
    Within(tokio::io::ReadHalf<TlsStream<Stream>>),
}

/// What goes.
#[derive(Debug)]
pub enum WriteHalf {
    /// Unencrypted.
    Plain(OwnedWriteHalf),
    /// TLS.
    Tls(tokio::io::WriteHalf<TlsStream<TcpStream>>),
    /// TLS within another connection.
    Within(tokio::io::WriteHalf<TlsStream<Stream>>),
}

/// A connection that ends without a farewell was cut, or its process died: said without the
/// library's own words, for people read it.
fn plainly(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => io::Error::new(error.kind(), "it was cut"),
        _ => error,
    }
}

impl AsyncRead for ReadHalf {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(half) => Pin::new(half).poll_read(cx, into),
            Self::Tls(half) => Pin::new(half).poll_read(cx, into).map_err(plainly),
            Self::Within(half) => Pin::new(half).poll_read(cx, into).map_err(plainly),
        }
    }
}

impl AsyncWrite for WriteHalf {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(half) => Pin::new(half).poll_write(cx, bytes),
            Self::Tls(half) => Pin::new(half).poll_write(cx, bytes),
            Self::Within(half) => Pin::new(half).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(half) => Pin::new(half).poll_flush(cx),
            Self::Tls(half) => Pin::new(half).poll_flush(cx),
            Self::Within(half) => Pin::new(half).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(half) => Pin::new(half).poll_shutdown(cx),
            Self::Tls(half) => Pin::new(half).poll_shutdown(cx),
            Self::Within(half) => Pin::new(half).poll_shutdown(cx),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(half) => Pin::new(half).poll_write_vectored(cx, pieces),
            Self::Tls(half) => Pin::new(half).poll_write_vectored(cx, pieces),
            Self::Within(half) => Pin::new(half).poll_write_vectored(cx, pieces),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(half) => half.is_write_vectored(),
            Self::Tls(half) => half.is_write_vectored(),
            Self::Within(half) => half.is_write_vectored(),
        }
    }
}
