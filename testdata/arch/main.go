// Command arch is run by TestArch on an architecture where the ring was not
// tried. It says what New makes of that, and moves bytes on the ring if asked to.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strings"

	"github.com/quoit-go/quoit"
)

func main() {
	err := refused()
	if err == nil && len(os.Args) > 1 && os.Args[1] == "ring" {
		for _, gear := range []quoit.Gear{quoit.GearAuto, quoit.GearPoll, quoit.GearRing} {
			err = errors.Join(err, serves(gear))
		}
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

// refused wants package net to serve, and the reason to name the architecture.
func refused() error {
	ln, err := quoit.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer ln.Close()
	if _, ok := ln.(*net.TCPListener); !ok {
		return fmt.Errorf("the listener is a %T", ln)
	}
	_, err = quoit.New(&quoit.Config{Require: true})
	for _, err := range []error{quoit.Default().Stats().Reason, quoit.Probe().Err, err} {
		if ue, ok := errors.AsType[*quoit.UnsupportedError](err); !ok || !strings.Contains(ue.Feature, "linux/"+runtime.GOARCH) {
			return fmt.Errorf("the reason is %w", err)
		}
	}
	return nil
}

// serves copies bytes from conn to conn, by Write, splice(2) and sendfile(2).
func serves(gear quoit.Gear) error {
	e, err := quoit.New(&quoit.Config{Require: true, AnyArch: true, Gear: gear})
	if err != nil {
		return err
	}
	defer e.Close()
	in, from, err := pair(e)
	if err != nil {
		return err
	}
	through, err := os.CreateTemp("", "arch")
	if err != nil {
		return err
	}
	defer os.Remove(through.Name())
	defer through.Close()
	out, to, err := pair(e)
	if err != nil {
		return err
	}
	sent := bytes.Repeat([]byte("quoit "), 1<<18)
	errs := make(chan error, 2)
	go func() { // to the file by way of a conn
		_, err := in.Write(sent)
		errs <- errors.Join(err, in.Close())
	}()
	if _, err := io.Copy(through, from); err != nil {
		return fmt.Errorf("from a conn: %w", err)
	}
	if _, err := through.Seek(0, io.SeekStart); err != nil {
		return err
	}
	half, err := spliced(e, sent)
	if err != nil {
		return err
	}
	go func() { // by sendfile, then splice
		_, err := io.Copy(out, through)
		_, serr := io.Copy(out, half)
		errs <- errors.Join(err, serr, out.Close())
	}()
	got, err := io.ReadAll(to)
	if err = errors.Join(err, <-errs, <-errs, from.Close(), to.Close(), half.Close()); err != nil {
		return err
	}
	if !bytes.Equal(got, append(bytes.Clone(sent), sent...)) {
		return fmt.Errorf("%d bytes of %d came, or others", len(got), 2*len(sent))
	}
	return nil
}

// pair returns both ends of a conn on e.
func pair(e *quoit.Engine) (a, b net.Conn, err error) {
	ln, err := e.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	defer ln.Close()
	if a, err = e.Dialer().DialContext(context.Background(), "tcp", ln.Addr().String()); err != nil {
		return nil, nil, err
	}
	b, err = ln.Accept()
	return a, b, err
}

// spliced returns a conn of package net that b comes from.
func spliced(e *quoit.Engine, b []byte) (net.Conn, error) {
	ln, err := e.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	go func() {
		defer ln.Close()
		if c, err := ln.Accept(); err == nil {
			_, _ = c.Write(b) // what is missing, the reader misses
			c.Close()
		}
	}()
	return net.Dial("tcp", ln.Addr().String())
}
