// bare does to the bytes of one file what cannot be left out, and nothing else: sendfile on one side; on the other receiving, SHA-1 of
// each piece, and writing, by as many threads as there are processors. No choice, no protocol, no second peer; nothing survives a failure.
// It says what the machine can do at the most, for the scenarios that no link limits.
//
// usage: bare serve ADDRESS:PORT FILE | bare fetch ADDRESS:PORT FILE
package main

import (
	"crypto/sha1"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"sync"
)

const (
	pieceSize = 256 << 10
	pieces    = 16 // in memory at once
)

func main() {
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: bare serve|fetch ADDRESS:PORT FILE")
		os.Exit(2)
	}
	act := serve
	if os.Args[1] == "fetch" {
		act = fetch
	}
	if err := act(os.Args[2], os.Args[3]); err != nil {
		fmt.Fprintln(os.Stderr, "bare:", err)
		os.Exit(1)
	}
}

// serve sends each client the number of bytes, the hashes of all pieces, and the file.
func serve(address, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	var head []byte
	size, piece := uint64(0), make([]byte, pieceSize)
	for {
		n, err := io.ReadFull(f, piece)
		if n > 0 {
			sum := sha1.Sum(piece[:n])
			head, size = append(head, sum[:]...), size+uint64(n)
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			break
		} else if err != nil {
			return err
		}
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	fmt.Println("ready")
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		if _, err = f.Seek(0, io.SeekStart); err != nil {
			return err
		}
		if _, err = c.Write(append(binary.BigEndian.AppendUint64(nil, size), head...)); err == nil {
			_, err = io.Copy(c, f) // sendfile(2)
		}
		if err = errors.Join(err, c.Close()); err != nil {
			fmt.Fprintln(os.Stderr, "bare:", err)
		}
	}
}

// fetched is a piece that has been received.
type fetched struct {
	number int
	data   []byte
}

func fetch(address, path string) error {
	c, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer c.Close()
	number := make([]byte, 8)
	if _, err = io.ReadFull(c, number); err != nil {
		return err
	}
	size := int64(binary.BigEndian.Uint64(number))
	sums := make([]byte, (size+pieceSize-1)/pieceSize*sha1.Size)
	if _, err = io.ReadFull(c, sums); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	free, whole, failed := make(chan []byte, pieces), make(chan fetched, pieces), make(chan error, runtime.NumCPU())
	for range pieces {
		free <- make([]byte, pieceSize)
	}
	var workers sync.WaitGroup
	for range runtime.NumCPU() {
		workers.Go(func() {
			for p := range whole {
				err := keep(f, p, sums)
				free <- p.data[:pieceSize]
				if err != nil {
					failed <- err
					return
				}
			}
		})
	}
	err = receive(c, size, free, whole)
	close(whole)
	workers.Wait()
	close(failed)
	for e := range failed {
		err = errors.Join(err, e)
	}
	return errors.Join(err, f.Close())
}

// receive fills pieces from the connection.
func receive(c net.Conn, size int64, free <-chan []byte, whole chan<- fetched) error {
	for n := 0; size > 0; n++ {
		p := (<-free)[:min(pieceSize, size)]
		if _, err := io.ReadFull(c, p); err != nil {
			return err
		}
		whole <- fetched{n, p}
		size -= int64(len(p))
	}
	return nil
}

// keep verifies a piece and writes it.
func keep(f *os.File, p fetched, sums []byte) error {
	if sum := sha1.Sum(p.data); string(sum[:]) != string(sums[p.number*sha1.Size:][:sha1.Size]) {
		return fmt.Errorf("piece %d is damaged", p.number)
	}
	_, err := f.WriteAt(p.data, int64(p.number)*pieceSize)
	return err
}
