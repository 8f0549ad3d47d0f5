//go:build linux

package programs

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"strings"
	"sync"
	"syscall"

	"github.com/quoit-go/quoit/internal/testenv"
)

// etcdCluster has three nodes take writes by their gRPC gateway, while one is killed and
// comes back, and etcdctl watch and compare.
var etcdCluster = trial{
	name: "cluster of three under load, one killed and started again; etcdctl and the gRPC gateway",
	run: func(r *running) {
		c := newEtcd(r)
		for i := range c.nodes {
			c.start(i)
		}
		for i := range c.nodes {
			c.healthy(i)
		}
		watch := &logBuffer{}
		cmd := exec.Command(r.plainBin["etcdctl"], "--endpoints", c.nodes[1].client, "watch", "--prefix", "k", "--write-out=simple")
		cmd.Stdout = watch
		ownGroup(cmd)
		cmd.Cancel = nil
		r.must(cmd.Start())
		defer cmd.Wait()
		defer func() { syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }()
		testenv.Poll(r.T, "the watch begins", func() bool {
			c.put(0, "k-first", "x")
			return strings.Contains(watch.String(), "k-first")
		})
		c.load("a", []int{0, 1, 2})
		c.nodes[2].kill()
		c.load("b", []int{0, 1})
		c.start(2)
		c.healthy(2)
		c.load("c", []int{0, 1, 2})
		for i := range c.nodes {
			r.answer("node %d has %d keys", i, strings.Count(c.ctl(i, "get", "--prefix", "k-a", "--keys-only"), "k-a")+
				strings.Count(c.ctl(i, "get", "--prefix", "k-b", "--keys-only"), "k-b")+
				strings.Count(c.ctl(i, "get", "--prefix", "k-c", "--keys-only"), "k-c"))
			r.answer("node %d: %s", i, c.ctl(i, "get", "k-b-1-7"))
		}
		testenv.Poll(r.T, "all nodes have the same", c.same)
		r.answer("all nodes have the same hash")
		for _, part := range []string{"k-a-", "k-b-", "k-c-"} {
			testenv.Poll(r.T, "the watch has seen all of "+part, func() bool {
				return seen(watch.String(), part) == etcdWriters*etcdWrites
			})
			r.answer("the watch has seen all of %s", part)
		}
	},
}

// seen counts the keys with a prefix that etcdctl watch has printed.
func seen(text, prefix string) int {
	keys := map[string]bool{}
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, prefix) && strings.Count(line, "-") == 3 { // a value has more
			keys[line] = true
		}
	}
	return len(keys)
}

const (
	etcdWriters = 6
	etcdWrites  = 100
)

type etcd struct {
	r       *running
	nodes   [3]etcdNode
	cluster string
	http    *http.Client
}

type etcdNode struct {
	name, client, peer string
	*server
}

func newEtcd(r *running) *etcd {
	c := &etcd{r: r, http: r.httpClient(nil, false)}
	var all []string
	for i := range c.nodes {
		c.nodes[i] = etcdNode{name: fmt.Sprintf("n%d", i), client: "http://" + testenv.Free(r, "127.0.0.1"), peer: "http://" + testenv.Free(r, "127.0.0.1")}
		all = append(all, c.nodes[i].name+"="+c.nodes[i].peer)
	}
	c.cluster = strings.Join(all, ",")
	return c
}

func (c *etcd) start(i int) {
	n := &c.nodes[i]
	n.server = c.r.start("etcd", "--name", n.name, "--data-dir", n.name, "--log-level", "warn",
		"--listen-client-urls", n.client, "--advertise-client-urls", n.client,
		"--listen-peer-urls", n.peer, "--initial-advertise-peer-urls", n.peer,
		"--initial-cluster", c.cluster, "--initial-cluster-state", "new", "--unsafe-no-fsync")
}

func (c *etcd) healthy(i int) {
	c.r.Helper()
	c.nodes[i].until("it is healthy", func() bool {
		res, err := c.http.Get(c.nodes[i].client + "/health")
		if err != nil {
			return false
		}
		defer res.Body.Close()
		text, _ := io.ReadAll(res.Body)
		return strings.Contains(string(text), `"health":"true"`)
	})
}

// put writes a key by node i.
func (c *etcd) put(i int, key, value string) error {
	text, err := json.Marshal(map[string][]byte{"key": []byte(key), "value": []byte(value)})
	if err != nil {
		return err
	}
	res, err := c.http.Post(c.nodes[i].client+"/v3/kv/put", "application/json", bytes.NewReader(text))
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if text, err := io.ReadAll(res.Body); err != nil || res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s %s %w", key, res.Status, text, err)
	}
	return nil
}

// load has writers write by the nodes in turn. A write that fails, as some may while
// a leader is elected, is tried again.
func (c *etcd) load(part string, nodes []int) {
	c.r.Helper()
	var wg sync.WaitGroup
	for w := range etcdWriters {
		wg.Go(func() {
			for n := range etcdWrites {
				key := fmt.Sprintf("k-%s-%d-%d", part, w, n)
				var err error
				if !testenv.Eventually(func() bool {
					err = c.put(nodes[(w+n)%len(nodes)], key, strings.Repeat(key, 50))
					return err == nil
				}) {
					c.r.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// ctl asks node i alone, by etcdctl.
func (c *etcd) ctl(i int, args ...string) string {
	c.r.Helper()
	return c.r.client("etcdctl", append([]string{"--endpoints", c.nodes[i].client}, args...)...)
}

// same reports whether the nodes' keys and values have one hash at one revision.
func (c *etcd) same() bool {
	hashes := map[string]bool{}
	for i := range c.nodes {
		var v []struct {
			HashKV struct {
				Hash         uint32 `json:"hash"`
				HashRevision int64  `json:"hash_revision"`
			}
		}
		c.r.must(json.Unmarshal([]byte(c.ctl(i, "endpoint", "hashkv", "--write-out=json")), &v))
		if len(v) != 1 {
			return false
		}
		hashes[fmt.Sprint(v[0].HashKV)] = true
	}
	return len(hashes) == 1
}
