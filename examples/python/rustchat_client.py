#!/usr/bin/env python3
"""A second, independent client of rustchat, with `protobuf` as its only dependency.

    rustchat proto > rustchat.fds
    python3 rustchat_client.py --ca keys/cluster.crt --user carol --password-file pw \
        --register send bob < lines
    python3 rustchat_client.py --ca keys/cluster.crt --user bob --password-file pw tail --count 3
    python3 rustchat_client.py --ca keys/cluster.crt --user carol --state carol.json tail

It finds the leader over UDP, checks that it belongs to the cluster whose certificate it has,
follows its redirect, registers or logs in, and then
sends the lines of standard input, or prints what it receives, as one JSON object
a message. The protocol is described in proto/client.proto and proto/discovery.proto.
"""

import argparse
import json
import os
import secrets
import socket
import ssl
import struct
import sys
import time
from datetime import datetime, timezone

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

VERSION = 1
CHAT = 1
QUESTION_BYTES = 512
REDIRECTS = 5
SERVER_NAME = "server.rustchat"


def load_messages(path):
    """The message classes of the descriptor set that the build wrote."""
    files = descriptor_pb2.FileDescriptorSet()
    with open(path, "rb") as f:
        files.ParseFromString(f.read())
    pool = descriptor_pool.DescriptorPool()
    for file in files.file:
        pool.Add(file)

    class Messages:
        def __getattr__(self, name):
            kind = pool.FindMessageTypeByName("rustchat.v1." + name)
            return message_factory.GetMessageClass(kind)

    return Messages()


def discover(pb, port, addresses, seconds=5.0):
    """Asks over UDP who leads; the leader alone answers."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    sock.settimeout(0.3)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        nonce = secrets.token_bytes(16)
        question = pb.Question(version=VERSION, nonce=nonce, purpose=1)
        missing = QUESTION_BYTES - question.ByteSize()
        question.padding = bytes(max(missing, 0))
        for address in addresses:
            try:
                sock.sendto(question.SerializeToString(), (address, port))
            except OSError:
                continue
        try:
            data, _ = sock.recvfrom(65536)
        except socket.timeout:
            continue
        answer = pb.Answer.FromString(data)
        if answer.nonce == nonce:
            return answer.leader.host, answer.leader.client
    raise SystemExit("no leader answered on UDP port %d; is a cluster running?" % port)


def trust_in(args):
    """TLS 1.3 with servers of this cluster alone; None where there is none at all."""
    if args.insecure_plain:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_verify_locations(args.ca)
    return context


def load_state(path):
    """The device of an earlier run and its token; else a new one without."""
    if path and os.path.exists(path):
        with open(path, encoding="utf-8") as f:
            kept = json.load(f)
        return bytes.fromhex(kept["device"]), bytes.fromhex(kept["token"])
    return secrets.token_bytes(16), b""


def save_state(path, device, token):
    """Keeps both for the next run, for this user's eyes alone: who has the token is the user."""
    if not path:
        return
    new = path + ".new"
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as f:
        json.dump({"device": device.hex(), "token": token.hex()}, f)
    os.replace(new, path)


class Connection:
    """Frames over TLS: four bytes of length, big-endian, then one protobuf message."""

    def __init__(self, pb, host, port, trust):
        self.pb = pb
        self.sock = socket.create_connection((host, port), timeout=30)
        if trust:
            # A certificate names the cluster's servers, and no address.
            self.sock = trust.wrap_socket(self.sock, server_hostname=SERVER_NAME)

    def send(self, **fields):
        data = self.pb.ClientFrame(**fields).SerializeToString()
        self.sock.sendall(struct.pack(">I", len(data)) + data)

    def receive(self):
        (length,) = struct.unpack(">I", self._exactly(4))
        frame = self.pb.ServerFrame.FromString(self._exactly(length))
        kind = frame.WhichOneof("frame")
        return kind, getattr(frame, kind) if kind else None

    def _exactly(self, count):
        data = b""
        while len(data) < count:
            more = self.sock.recv(count - len(data))
            if not more:
                raise ConnectionError("the server closed the connection")
            data += more
        return data


class Chat:
    """A logged-in session."""

    def __init__(self, pb, where, args, password):
        self.pb = pb
        self.trust = trust_in(args)
        self.device, self.token = load_state(args.state)
        self.names = {}
        self.conversations = {}
        self.early = []
        self.conn = self._connect(where)
        self._log_in(args, password)
        self.conn.send(resume=pb.Resume())
        self.ready = self._until("ready")

    def _connect(self, where):
        placed = False
        for _ in range(REDIRECTS):
            conn = Connection(self.pb, *where, self.trust)
            conn.send(hello=self.pb.Hello(
                min=VERSION, max=VERSION, purpose=CHAT, device=self.device, placed=placed))
            kind, frame = conn.receive()
            if kind == "welcome":
                return conn
            if kind != "redirect":
                raise SystemExit("the server answered the hello with %s: %s" % (kind, frame))
            where, placed = (frame.to.host, frame.to.client), True
        raise SystemExit("too many redirects")

    def _log_in(self, args, password):
        if self.token:
            self.conn.send(token=self.pb.Token(name=args.user, token=self.token))
        elif password is None:
            raise SystemExit("no token in %s: a password is needed" % args.state)
        elif args.register:
            self.conn.send(register=self.pb.Register(name=args.user, password=password))
        else:
            self.conn.send(login=self.pb.Login(name=args.user, password=password))
        answer = self._until("authenticated")
        self.me = answer.user
        if answer.token:
            save_state(args.state, self.device, answer.token)

    def _until(self, wanted):
        """The next frame of one kind; what is pushed meanwhile is kept."""
        while True:
            kind, frame = self.conn.receive()
            if kind == "refused":
                raise SystemExit("refused: " + frame.text)
            if kind in ("busy", "go_away"):
                raise SystemExit("the server says %s: try again" % kind)
            if kind == "conversations":
                self._learn(frame)
            if kind == wanted:
                return frame
            if kind in ("push", "ack"):
                self.early.append((kind, frame))

    def _learn(self, frame):
        for conversation in frame.conversations:
            self.conversations[conversation.id] = conversation
            for member in conversation.members:
                self.names[member.user.SerializeToString()] = member.name

    def send(self, to, lines):
        """Sends the lines to a user; returns when all are committed by a majority."""
        self.conn.send(lookup=self.pb.Lookup(request=1, name=to))
        user = self._until("found").user
        first = 1 + max([s.last_number for s in self.ready.sends if s.group == 0] or [0])
        acked, sent = first - 1, first
        while acked < first + len(lines) - 1:
            window = acked + min(self.ready.window, 512)
            batch = lines[sent - first:max(window - first + 1, 0)]
            if batch:
                bodies = [self.pb.Body(kind=1, data=line.encode()) for line in batch]
                run = self.pb.SendRun(group=0, first_number=sent, user=user, bodies=bodies)
                self.conn.send(send=self.pb.Send(runs=[run], confirmed=acked))
                sent += len(batch)
            ack = self._next_ack()
            if ack.expected:
                sent = ack.expected
            for outcome in ack.outcomes:
                if outcome.refusal:
                    raise SystemExit("message %d was refused: code %d"
                                     % (outcome.first_number, outcome.refusal))
            acked = max(acked, ack.upto)
        print(json.dumps({"committed": len(lines), "to": to}), flush=True)

    def _next_ack(self):
        return self._until("ack")

    def tail(self, count):
        """Prints messages from others: first what is unread, then live."""
        seen = {}
        while count is None or count > 0:
            kind, frame = self.early.pop(0) if self.early else self.conn.receive()
            if kind == "conversations":
                self._learn(frame)
            if kind == "go_away":
                raise SystemExit("the server ends the connection: " + frame.text)
            if kind != "push":
                continue
            for run in frame.runs:
                count = self._print_run(run, seen, count)
                last = run.first_seq + len(run.bodies) - 1
                entry = self.pb.MarkEntry(conversation=run.conversation, delivered=last, read=last)
                self.conn.send(mark=self.pb.Mark(marks=[entry]))

    def _print_run(self, run, seen, count):
        for offset, body in enumerate(run.bodies):
            seq = run.first_seq + offset
            if seq <= seen.get(run.conversation, 0):
                continue
            seen[run.conversation] = seq
            if run.sender == self.me:
                continue
            at = datetime.fromtimestamp(run.at_ms / 1000, tz=timezone.utc)
            print(json.dumps({
                "conversation": "%x" % run.conversation,
                "seq": seq,
                "from": self.names.get(run.sender.SerializeToString(), "?"),
                "text": body.data.decode("utf-8", "replace"),
                "at": at.isoformat().replace("+00:00", "Z"),
            }), flush=True)
            if count is not None:
                count -= 1
        return count


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--descriptors", default="rustchat.fds")
    parser.add_argument("--user", required=True)
    parser.add_argument("--password-file", help="needed until --state has a token")
    parser.add_argument("--state", metavar="FILE", help="keeps the device and its token")
    parser.add_argument("--register", action="store_true")
    parser.add_argument("--discovery-port", type=int, default=7100)
    parser.add_argument("--ask", action="append", help="address to ask instead of broadcasting")
    trust = parser.add_mutually_exclusive_group(required=True)
    trust.add_argument("--ca", help="the cluster's certificate: keys/cluster.crt")
    trust.add_argument("--insecure-plain", action="store_true", help="no TLS at all")
    parser.add_argument("--server", help="HOST:PORT instead of discovery")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("send", help="lines of standard input").add_argument("to")
    commands.add_parser("tail").add_argument("--count", type=int)
    args = parser.parse_args()

    pb = load_messages(args.descriptors)
    password = None
    if args.password_file:
        with open(args.password_file, encoding="utf-8") as f:
            password = f.readline().rstrip("\r\n")
    if args.server:
        host, port = args.server.rsplit(":", 1)
        where = host, int(port)
    else:
        where = discover(pb, args.discovery_port, args.ask or ["255.255.255.255", "127.255.255.255"])
    chat = Chat(pb, where, args, password)
    if args.command == "send":
        chat.send(args.to, sys.stdin.read().splitlines())
    else:
        chat.tail(args.count)


if __name__ == "__main__":
    try:
        main()
    except (BrokenPipeError, KeyboardInterrupt):
        os._exit(0)
