//go:build linux

package programs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/quoit-go/quoit/internal/testenv"
)

// dnsNames is how many names the zone has.
const dnsNames = 3000

// coreDNS has CoreDNS answer over TCP: queries one after the other and many at once
// on a conn, on many conns, and a whole zone.
var coreDNS = trial{
	name: fmt.Sprintf("zone of %d names over TCP: queries, 200 at once on each of 8 conns, a transfer", dnsNames),
	run: func(r *running) {
		var zone strings.Builder
		zone.WriteString("$ORIGIN example.org.\n@ 3600 IN SOA ns admin 1 7200 3600 1209600 3600\n@ 3600 IN NS ns\nns 3600 IN A 127.0.0.1\n")
		for i := range dnsNames {
			fmt.Fprintf(&zone, "host%d 3600 IN A 192.0.2.%d\n", i, i%256)
		}
		addr := testenv.Free(r, "127.0.0.1")
		corefile := fmt.Sprintf("example.org:%s {\n\tbind 127.0.0.1\n\tfile %s\n\ttransfer {\n\t\tto *\n\t}\n}\n", port(addr), r.write("zone", zone.String()))
		r.start("coredns", "-conf", r.write("Corefile", corefile)).listens(addr)

		c := r.dialDNS(addr)
		for i := range 20 {
			r.must(c.query(uint16(i), fmt.Sprintf("host%d.example.org.", i), dnsmessage.TypeA))
			m, err := c.next()
			r.must(err)
			r.answer("%s", dnsText(m))
		}
		r.must(c.query(1, "nothing.example.org.", dnsmessage.TypeA))
		m, err := c.next()
		r.must(err)
		r.answer("%s", dnsText(m))

		var wg sync.WaitGroup
		answers := make([][200]string, 8)
		for i := range answers {
			c := r.dialDNS(addr)
			wg.Go(func() {
				if err := c.many(answers[i][:]); err != nil {
					r.Error(err)
				}
			})
		}
		wg.Wait()
		for i := range answers {
			r.answers = append(r.answers, answers[i][:]...)
		}

		r.must(c.query(2, "example.org.", dnsmessage.TypeAXFR))
		records := 0
		for soa := 0; soa < 2; {
			m, err := c.next()
			r.must(err)
			for _, a := range m.Answers {
				records++
				if a.Header.Type == dnsmessage.TypeSOA {
					soa++
				}
			}
		}
		r.answer("the zone has %d records", records)
	},
}

// dnsConn is a client's conn.
type dnsConn struct{ net.Conn }

func (r *running) dialDNS(addr string) dnsConn {
	r.Helper()
	c, err := net.DialTimeout("tcp", addr, dialBound)
	r.must(err)
	r.Cleanup(func() { c.Close() })
	r.must(c.SetDeadline(time.Now().Add(testenv.Bound)))
	return dnsConn{c}
}

func (c dnsConn) query(id uint16, name string, typ dnsmessage.Type) error {
	n, err := dnsmessage.NewName(name)
	if err != nil {
		return err
	}
	m := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: id},
		Questions: []dnsmessage.Question{{Name: n, Type: typ, Class: dnsmessage.ClassINET}},
	}
	b, err := m.AppendPack(make([]byte, 2))
	if err != nil {
		return err
	}
	binary.BigEndian.PutUint16(b, uint16(len(b)-2))
	_, err = c.Write(b)
	return err
}

func (c dnsConn) next() (*dnsmessage.Message, error) {
	var size [2]byte
	if _, err := io.ReadFull(c, size[:]); err != nil {
		return nil, err
	}
	b := make([]byte, binary.BigEndian.Uint16(size[:]))
	if _, err := io.ReadFull(c, b); err != nil {
		return nil, err
	}
	m := new(dnsmessage.Message)
	return m, m.Unpack(b)
}

// many asks as many questions as there is room for answers before it reads one.
func (c dnsConn) many(answers []string) error {
	sent := testenv.Go(func() error {
		for i := range answers {
			if err := c.query(uint16(i), fmt.Sprintf("host%d.example.org.", i*7), dnsmessage.TypeA); err != nil {
				return err
			}
		}
		return nil
	})
	var err error
	for range answers {
		var m *dnsmessage.Message
		if m, err = c.next(); err != nil {
			break
		}
		answers[int(m.ID)%len(answers)] = dnsText(m)
	}
	return errors.Join(err, <-sent)
}

// dnsText is what a message answers.
func dnsText(m *dnsmessage.Message) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%v %v", m.Questions[0].Name, m.RCode)
	for _, a := range m.Answers {
		fmt.Fprintf(&b, " %v", a.Body.GoString())
	}
	return b.String()
}
