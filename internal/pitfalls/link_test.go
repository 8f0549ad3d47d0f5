//go:build linux

package pitfalls

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/quoit-go/quoit/internal/testenv"
)

// pfLink is what a link between two network namespaces does to packets, on their way
// either way: netem(8).
type pfLink struct {
	MTU           int // and no packet is larger: it has no segmentation offload
	Delay, Jitter time.Duration
	Loss          float64 // of 1
	Duplicate     float64
	Reorder       float64 // are not delayed
}

var pfLinks = map[string]pfLink{
	"loss":  {MTU: 1500, Delay: 2 * time.Millisecond, Jitter: 2 * time.Millisecond, Loss: 0.02, Duplicate: 0.01, Reorder: 0.1},
	"small": {MTU: 576, Delay: time.Millisecond, Loss: 0.002, Reorder: 0.25},
}

// A link that loses, delays, reorders and repeats, or takes small packets only, changes
// nothing but the time.
func TestAttackLossyLink(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can make a network namespace")
	}
	why := ""
	for link := range pfLinks {
		for _, server := range pfServers {
			t.Run(link+"/"+server, func(t *testing.T) {
				testenv.Watch(t, 4*testenv.Bound)
				cmd, stderr := pfChild(t, "lossy", link, server)
				cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET}
				out, err := cmd.Output()
				if err != nil {
					t.Errorf("%v\n%s", err, stderr)
				}
				t.Logf("%s", out)
				if missing, ok := strings.CutPrefix(string(out), "none: "); ok {
					why = missing
					t.SkipNow()
				}
			})
		}
	}
	if why != "" {
		testenv.Lacks(t, "no netem here: %s", why)
	}
}

// pfChildLossy has streams cross a link (args[0]), both ends of which are served by
// args[1].
func pfChildLossy(args []string) error {
	const near, far = "10.26.0.1", "10.26.0.2"
	link := pfLinks[args[0]]
	home, err := os.Open("/proc/self/ns/net")
	if err != nil {
		return err
	}
	defer home.Close()
	runtime.LockOSThread() // it ends with this goroutine
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return err
	}
	err = link.make("far", "near", int(home.Fd()))
	if err == nil {
		err = link.set("far", far)
	}
	if err == nil {
		err = <-testenv.Go(func() error { return link.set("near", near) })
	}
	if err != nil {
		fmt.Printf("none: %v", err)
		return nil
	}
	var tr pfServing
	var ln net.Listener
	if err := <-testenv.Go(func() error {
		if tr, err = pfServe(args[1]); err == nil {
			ln, err = tr.Listen("tcp", near+":0")
		}
		return err
	}); err != nil {
		return err
	}
	began := time.Now()
	err = pfExchange(tr.Transport, ln) // dials from here
	fmt.Printf("took %v", time.Since(began).Round(time.Millisecond))
	return errors.Join(err, ln.Close())
}

// make makes the link's two ends, one in the thread's network namespace, the other in
// that of a descriptor.
func (l pfLink) make(here, there string, namespace int) error {
	const peerInfo, maxSegments = 1, 40 // VETH_INFO_PEER, IFLA_GSO_MAX_SEGS
	end := func(name string) []byte {
		return slices.Concat(make([]byte, unix.SizeofIfInfomsg),
			pfAttr(unix.IFLA_IFNAME, []byte(name+"\x00")), pfAttr(unix.IFLA_MTU, pfWords(uint32(l.MTU))),
			pfAttr(maxSegments, pfWords(1)))
	}
	peer := append(end(there), pfAttr(unix.IFLA_NET_NS_FD, pfWords(uint32(namespace)))...)
	return pfNetlink(unix.RTM_NEWLINK, end(here), pfAttr(unix.IFLA_LINKINFO,
		pfAttr(unix.IFLA_INFO_KIND, []byte("veth")),
		pfAttr(unix.IFLA_INFO_DATA, pfAttr(peerInfo, peer))))
}

// set gives one end of the link, in the thread's network namespace, its address, has it
// do what the link does, and sets it up.
func (l pfLink) set(name, addr string) error {
	const reorder = 3 // TCA_NETEM_REORDER
	dev, err := net.InterfaceByName(name)
	if err != nil {
		return err
	}
	ip := net.ParseIP(addr).To4()
	inet := append([]byte{unix.AF_INET, 24, 0, 0}, pfWords(uint32(dev.Index))...)
	if err := pfNetlink(unix.RTM_NEWADDR, inet, pfAttr(unix.IFA_LOCAL, ip), pfAttr(unix.IFA_ADDRESS, ip)); err != nil {
		return err
	}
	ticks := func(d time.Duration) uint32 { return uint32(d / 64) }
	part := func(p float64) uint32 { return uint32(p * (1<<32 - 1)) }
	const limit, gap = 10_000, 1 // packets
	options := pfWords(ticks(l.Delay), limit, part(l.Loss), gap, part(l.Duplicate), ticks(l.Jitter))
	root := pfWords(unix.AF_UNSPEC, uint32(dev.Index), 0, ^uint32(0), 0)
	err = pfNetlink(unix.RTM_NEWQDISC, root, pfAttr(unix.TCA_KIND, []byte("netem\x00")),
		pfAttr(unix.TCA_OPTIONS, options, pfAttr(reorder, pfWords(part(l.Reorder), 0))))
	return errors.Join(err, pfUp(name), pfUp("lo"))
}

func pfWords(words ...uint32) (out []byte) {
	for _, w := range words {
		out = binary.NativeEndian.AppendUint32(out, w)
	}
	return out
}

// pfAttr is an attribute of a netlink message.
func pfAttr(kind uint16, data ...[]byte) []byte {
	value := slices.Concat(data...)
	out := binary.NativeEndian.AppendUint16(nil, uint16(unix.SizeofNlAttr+len(value)))
	out = append(binary.NativeEndian.AppendUint16(out, kind), value...)
	return append(out, make([]byte, -len(out)&3)...)
}

// pfNetlink has the kernel make something in the thread's network namespace.
func pfNetlink(kind uint16, parts ...[]byte) error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	body := slices.Concat(parts...)
	msg := pfWords(uint32(unix.NLMSG_HDRLEN + len(body)))
	msg = binary.NativeEndian.AppendUint16(msg, kind)
	msg = binary.NativeEndian.AppendUint16(msg, unix.NLM_F_REQUEST|unix.NLM_F_ACK|unix.NLM_F_CREATE|unix.NLM_F_EXCL)
	msg = slices.Concat(msg, pfWords(1, 0), body)
	if err := unix.Sendto(fd, msg, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return os.NewSyscallError("sendto", err)
	}
	answer := make([]byte, 4096)
	n, err := unix.Read(fd, answer)
	if err != nil || n < unix.NLMSG_HDRLEN+4 {
		return fmt.Errorf("an answer of %d bytes: %w", n, err)
	}
	if errno := -int32(binary.NativeEndian.Uint32(answer[unix.NLMSG_HDRLEN:])); errno != 0 {
		return fmt.Errorf("netlink message %d: %w", kind, syscall.Errno(errno))
	}
	return nil
}
