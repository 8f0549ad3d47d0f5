package load

import (
	"errors"
	"fmt"
	"io"

	"github.com/quoit-go/quoit/bench/internal/httpresp"
	"github.com/quoit-go/quoit/bench/internal/workload"
)

// download counts the body in MiB.
type download struct {
	plain
	request []byte
	got     int64
	check   *httpresp.Checker
}

func newDownload(path string) *download {
	return &download{
		request: get(path, ""),
		check:   httpresp.New(workload.MatchesPattern, workload.BulkBytes, false),
	}
}

func (d *download) next() []byte { return d.request }

func (d *download) feed(p []byte) (int, bool, error) {
	n, bytes, err := d.check.Feed(p)
	before := d.got / workload.MiB
	d.got += bytes
	return int(d.got/workload.MiB - before), n > 0, err
}

// answer counts the answers' bytes in MiB.
type answer struct {
	plain
	got int64 // of this answer
}

func (a *answer) next() []byte {
	a.got = 0
	return workload.Pattern(0, workload.AskBytes)
}

func (a *answer) feed(p []byte) (int, bool, error) {
	if int64(len(p)) > workload.AnswerBytes-a.got || !workload.MatchesPattern(p, a.got) {
		return 0, false, fmt.Errorf("the answer differs after %d bytes", a.got)
	}
	before := a.got / workload.MiB
	a.got += int64(len(p))
	return int(a.got/workload.MiB - before), a.got == workload.AnswerBytes, nil
}

// upload counts the body in MiB, as the socket takes it.
type upload struct {
	header []byte
	off    int64 // of the body: handed out by more
	taken  int64 // of header and body: by the socket
	check  *httpresp.Checker
}

func newUpload(path string) *upload {
	body, n := httpresp.Exactly(workload.Hello)
	return &upload{
		header: fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: bench\r\nContent-Length: %d\r\n\r\n", path, workload.BulkBytes),
		check:  httpresp.New(body, n, false),
	}
}

func (u *upload) next() []byte {
	u.off, u.taken = 0, 0
	return u.header
}

func (u *upload) more() []byte {
	if u.off == workload.BulkBytes {
		return nil
	}
	p := workload.Pattern(u.off, int(min(recvBytes, workload.BulkBytes-u.off)))
	u.off += int64(len(p))
	return p
}

func (u *upload) sent(n int) int {
	before := u.taken / workload.MiB
	u.taken += int64(n)
	return int(u.taken/workload.MiB - before)
}

func (u *upload) feed(p []byte) (int, bool, error) {
	n, _, err := u.check.Feed(p)
	if err == nil && u.off != workload.BulkBytes {
		err = errors.New("a response before the body's end")
	}
	return 0, n > 0, err
}

func (u *upload) eof() error { return io.ErrUnexpectedEOF }
