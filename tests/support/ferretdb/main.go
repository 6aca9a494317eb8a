// A second stand-in for a MongoDB server, for a small run of the tests on something
// independent of the first: FerretDB over SQLite. It knows nothing of what the tests do
// with it. What it does otherwise than a MongoDB server stands in ../README.md.
package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/FerretDB/FerretDB/ferretdb"
)

const (
	// How long open connections may hold up the end.
	lastCall = 3 * time.Second
	// The largest message, in bytes, with its header.
	largest = 64 << 20
	header  = 16
)

// Arguments: address:port to listen on, and the directory that holds the data. It ends
// when its standard input closes or it gets a SIGTERM.
func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "arguments: ADDRESS:PORT DIRECTORY")
		os.Exit(64)
	}
	if err := run(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(address, data string) error {
	if err := os.MkdirAll(data, 0o700); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		stop()
	}()
	// Without a file: there is none to be left behind.
	socket := fmt.Sprintf("@ferretdb-for-tests-%d", os.Getpid())
	logger := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
	server, err := ferretdb.New(&ferretdb.Config{
		Listener:  ferretdb.ListenerConfig{Unix: socket},
		Logger:    logger,
		Handler:   "sqlite",
		SQLiteURL: "file:" + data + "/",
	})
	if err != nil {
		return err
	}
	door, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()
	go letIn(door, socket)
	fmt.Println("listening on " + address)
	<-ctx.Done()
	_ = door.Close()
	select {
	case err = <-ended:
	case <-time.After(lastCall):
	}
	return err
}

// One command at a time, over all connections: FerretDB reads a document and writes it back
// without holding on to it, so that of two writers one would be forgotten.
var turn sync.Mutex

func letIn(door net.Listener, socket string) {
	for {
		near, err := door.Accept()
		if err != nil {
			return
		}
		go func() {
			defer near.Close()
			far, err := net.Dial("unix", socket)
			if err != nil {
				return
			}
			defer far.Close()
			for converse(near, far) == nil {
			}
		}()
	}
}

// A question and its answer.
func converse(near, far net.Conn) error {
	question, err := message(near)
	if err != nil {
		return err
	}
	answer, err := func() ([]byte, error) {
		turn.Lock()
		defer turn.Unlock()
		if _, err := far.Write(question); err != nil {
			return nil, err
		}
		return message(far)
	}()
	if err != nil {
		return err
	}
	_, err = near.Write(answer)
	return err
}

func message(from io.Reader) ([]byte, error) {
	head := make([]byte, header)
	if _, err := io.ReadFull(from, head); err != nil {
		return nil, err
	}
	length := binary.LittleEndian.Uint32(head)
	if length < header || length > largest {
		return nil, errors.New("not a message")
	}
	whole := append(head, make([]byte, length-header)...)
	_, err := io.ReadFull(from, whole[header:])
	return whole, err
}
