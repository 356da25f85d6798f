package cluster_test

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"warifu.dev/api"
	"warifu.dev/audit"
)

// release is one request to one node, as the one who asked saw it.
type release struct {
	id          api.RequestID
	begin, end  time.Time
	asks, gives int // bytes of the request and of the answer, without framing
}

// event is one system call of a trace, of those that matter to a release. A call
// that others interrupt in the trace enters in one line and returns in a later one.
type event struct {
	what        eventKind
	enter, left int // lines
	entered     time.Time
	returned    time.Time
	file        string          // of a record or a sync
	size        int             // of the largest datagram received, or of what was sent
	releases    []api.RequestID // whose records were written
}

type eventKind int

const (
	recorded eventKind = iota // a write to a segment of the audit
	synced                    // a sync of one, that succeeded
	received                  // datagrams came in from clients
	sent                      // datagrams went out to clients
)

var (
	callLine    = regexp.MustCompile(`^(\d+) +(\d+\.\d+) (\w+)\((\d+)<([^>]*(?:>[^,)>]*)??)>(.*)$`)
	resumedLine = regexp.MustCompile(`^(\d+) +(\d+\.\d+) <\.\.\. (\w+) resumed>(.*)$`)
	callResult  = regexp.MustCompile(`\) += (-?\d+)(?: [^<]*)?(?: <(\d+\.\d+)>)?$`)
	datagramLen = regexp.MustCompile(`msg_len=(\d+)`)
	hexBytes    = regexp.MustCompile(`"((?:\\x[0-9a-f]{2})*)"`)
)

const unfinished = " <unfinished ...>"

var errTrace = errors.New("the trace does not read")

// errUnread means that the trace does not tell of one release, since a datagram was
// taken for another: nothing is said against it.
var errUnread = errors.New("the trace does not tell")

// call is one system call in the making.
type call struct {
	enter      int
	entered    time.Time
	name, file string
	rest       string // of the line, after the descriptor
}

// parseTrace reads what strace -f -ttt -T -yy -xx wrote about one process, in the
// order in which it happened, and keeps what concerns the segments in the directory
// auditDir and the socket at the address clients.
func parseTrace(trace io.Reader, auditDir, clients string) ([]event, error) {
	open := map[string]call{} // by thread
	var events []event
	lines := bufio.NewScanner(trace)
	lines.Buffer(nil, 1<<20)
	n := 0
	for ; lines.Scan(); n++ {
		line := lines.Text()
		if m := resumedLine.FindStringSubmatch(line); m != nil {
			c, ok := open[m[1]]
			delete(open, m[1])
			if ok && c.name != m[3] {
				return nil, fmt.Errorf("%w: line %d: %s returns, %s was called", errTrace, n+1, m[3], c.name)
			}
			if ok {
				c.rest += m[4]
				at, err := instant(m[2])
				if err != nil {
					return nil, err
				}
				if e, ok := c.event(n, at, auditDir, clients); ok {
					events = append(events, e)
				}
			}
			continue
		}
		m := callLine.FindStringSubmatch(line)
		if m == nil {
			continue // of a call without a descriptor, or of a thread that ends
		}
		at, err := instant(m[2])
		if err != nil {
			return nil, err
		}
		c := call{enter: n, entered: at, name: m[3], file: unescape(m[5]), rest: m[6]}
		if rest, ok := strings.CutSuffix(c.rest, unfinished); ok {
			c.rest = rest
			open[m[1]] = c
			continue
		}
		if r := callResult.FindStringSubmatch(c.rest); r != nil && r[2] != "" {
			took, err := time.ParseDuration(r[2] + "s")
			if err != nil {
				return nil, fmt.Errorf("%w: line %d: %w", errTrace, n+1, err)
			}
			at = at.Add(took)
		}
		if e, ok := c.event(n, at, auditDir, clients); ok {
			events = append(events, e)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%w: %w", errTrace, err)
	}
	return events, nil
}

// instant reads seconds since 1970 with six places.
func instant(s string) (time.Time, error) {
	seconds, micros, _ := strings.Cut(s, ".")
	sec, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("%w: %w", errTrace, err)
	}
	us, err := strconv.ParseInt(micros, 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("%w: %w", errTrace, err)
	}
	return time.Unix(sec, us*1000), nil
}

// event says what a call that returned was, if it matters.
func (c call) event(left int, at time.Time, auditDir, clients string) (event, bool) {
	e := event{enter: c.enter, left: left, entered: c.entered, returned: at, file: c.file}
	m := callResult.FindStringSubmatch(c.rest)
	if m == nil {
		return e, false
	}
	result, err := strconv.Atoi(m[1])
	if err != nil {
		return e, false
	}
	segment := filepath.Dir(c.file) == auditDir && strings.HasPrefix(filepath.Base(c.file), "records-")
	socket := strings.HasPrefix(c.file, "UDP") && strings.Contains(c.file, "["+clients)
	switch c.name {
	case "write", "pwrite64":
		e.what = recorded
		if m := hexBytes.FindStringSubmatch(c.rest); m != nil {
			e.releases = releasesIn([]byte(unescape(m[1])))
		}
		return e, segment && result > 0
	case "fsync", "fdatasync":
		e.what = synced
		return e, segment && result == 0
	case "recvfrom", "recvmsg":
		e.what, e.size = received, result
		return e, socket && result > 0
	case "recvmmsg":
		e.what = received
		for _, m := range datagramLen.FindAllStringSubmatch(c.rest, -1) {
			size, _ := strconv.Atoi(m[1])
			e.size = max(e.size, size)
		}
		return e, socket && result > 0
	case "sendto", "sendmsg":
		e.what, e.size = sent, result
		return e, socket && result > 0
	case "sendmmsg":
		e.what = sent
		for _, m := range datagramLen.FindAllStringSubmatch(c.rest, -1) {
			size, _ := strconv.Atoi(m[1])
			e.size = max(e.size, size)
		}
		return e, socket && result > 0
	}
	return e, false
}

func unescape(s string) string {
	if !strings.HasPrefix(s, `\x`) {
		return s
	}
	b, err := hex.DecodeString(strings.ReplaceAll(s, `\x`, ""))
	if err != nil {
		return s
	}
	return string(b)
}

// releasesIn reads the frames of a write, see the package audit.
func releasesIn(b []byte) (ids []api.RequestID) {
	const header, hash = 20, 32
	for len(b) > header+hash {
		n := int(binary.BigEndian.Uint32(b))
		if n > len(b)-header-hash {
			break
		}
		if r, err := audit.DecodeRecord(b[header : header+n]); err == nil && r.Kind == audit.Release {
			ids = append(ids, r.RequestID)
		}
		b = b[header+n+hash:]
	}
	return ids
}

// around is more than QUIC and our framing add to an answer in its datagram.
const around = 100

// syncedBeforeSent finds, for one release, the datagram that asked, the write of
// its record, and the sync of that file which began after it, and says what is wrong
// when a datagram of the answer's size left after the first and before that sync had
// returned. Nothing else is asked for meanwhile; acknowledgements are small, and the
// answer before this one, which may be sent again, has another size.
func syncedBeforeSent(events []event, r release) error {
	var asked, record, sync *event
	for i := range events {
		e := &events[i]
		switch {
		// A request may come in two datagrams; the larger holds half of it.
		case e.what == received && asked == nil && e.size >= r.asks/2 && !e.returned.Before(r.begin):
			asked = e
		case e.what == recorded && record == nil:
			for _, id := range e.releases {
				if id == r.id {
					record = e
				}
			}
		case e.what == synced && sync == nil && record != nil && e.file == record.file && e.enter > record.left:
			sync = e
		}
	}
	switch {
	case asked == nil:
		return fmt.Errorf("%w: no datagram came in that could have asked for it", errUnread)
	case record == nil:
		return errors.New("no record of it was written")
	case sync == nil:
		return errors.New("its record was not synced")
	case asked.enter > record.left:
		return fmt.Errorf("%w: its record was written before it was asked for", errUnread)
	}
	answered := false
	for _, e := range events {
		if e.what != sent || e.size < r.gives || e.size > r.gives+around || e.left < asked.left || e.entered.After(r.end) {
			continue
		}
		if e.enter < sync.left {
			return fmt.Errorf("a datagram of %d bytes left (line %d) before its record was synced (line %d)", e.size, e.enter+1, sync.left+1)
		}
		answered = true
	}
	if !answered {
		return fmt.Errorf("%w: its answer was not seen to leave", errUnread)
	}
	return nil
}

// A trace is written by hand, with the planted fault and without: what the check
// says must be right before it is believed about 1,000 releases.
func TestTheTraceShowsAnAnswerBeforeItsSync(t *testing.T) {
	id := api.RequestID{7, 7, 7}
	body, err := audit.EncodeRecord(audit.Record{Time: 1, Kind: audit.Release, RequestID: id})
	if err != nil {
		t.Fatal(err)
	}
	written := binary.BigEndian.AppendUint32(nil, uint32(len(body)))
	written = append(append(append(written, make([]byte, 16)...), body...), make([]byte, 32)...)
	escaped := func(b []byte) string {
		var s strings.Builder
		for _, x := range b {
			fmt.Fprintf(&s, `\x%02x`, x)
		}
		return s.String()
	}
	segment, other := "<"+escaped([]byte("/n/audit/records-00000000"))+">", "<"+escaped([]byte("/n/raft/log"))+">"
	const (
		asked   = `1 1000.000100 recvmmsg(16<UDP:[127.0.0.1:70]>, [{msg_hdr={msg_iov=[{iov_base="\x01"..., iov_len=1452}]}, msg_len=400}], 8, 0, NULL) = 1 <0.000010>`
		acked   = `1 1000.000150 sendmsg(16<UDP:[127.0.0.1:70]>, {msg_iov=[{iov_base="\x01"..., iov_len=30}], msg_iovlen=1}, 0) = 30 <0.000010>`
		answer  = `1 1000.000400 sendmsg(16<UDP:[127.0.0.1:70]>, {msg_iov=[{iov_base="\x01"..., iov_len=300}], msg_iovlen=1}, 0) = 300 <0.000010>`
		before  = `1 1000.000220 sendmsg(16<UDP:[127.0.0.1:70]>, {msg_iov=[{iov_base="\x01"..., iov_len=440}], msg_iovlen=1}, 0) = 440 <0.000010>`
		toPeer  = `1 1000.000180 sendmsg(12<UDP:[127.0.0.1:71]>, {msg_iov=[{iov_base="\x01"..., iov_len=900}], msg_iovlen=1}, 0) = 900 <0.000010>`
		began   = `2 1000.000160 sendmsg(16<UDP:[127.0.0.1:70]>, {msg_iov=[{iov_base="\x01"..., iov_len=300}], msg_iovlen=1}, 0 <unfinished ...>`
		ended   = `2 1000.000350 <... sendmsg resumed>) = 300 <0.000200>`
		resumed = `1 1000.000300 <... fsync resumed>) = 0 <0.000100>`
	)
	record := `1 1000.000200 pwrite64(11` + segment + `, "` + escaped(written) + `", ` + fmt.Sprint(len(written)) + `, 0) = ` + fmt.Sprint(len(written)) + ` <0.000010>`
	sync := `1 1000.000250 fsync(11` + segment + `) = 0 <0.000100>`
	failed := `1 1000.000250 fsync(11` + segment + `) = -1 EIO (Input/output error) <0.000100>`
	syncs := `1 1000.000250 fsync(11` + segment + ` <unfinished ...>`
	elsewhere := `1 1000.000250 fsync(9` + other + `) = 0 <0.000100>`
	r := release{id: id, begin: time.Unix(1000, 0), end: time.Unix(1000, 500_000), asks: 390, gives: 290}
	for _, tt := range []struct {
		sentence string
		lines    []string
		says     string // empty: in order
	}{
		{"synced, then sent", []string{asked, acked, toPeer, record, sync, answer}, ""},
		{"the sync is long, and acknowledgements go out meanwhile", []string{asked, record, syncs, acked, toPeer, resumed, answer}, ""},
		{"sent, and then recorded", []string{asked, answer, record, sync}, "left (line 2) before its record was synced (line 4)"},
		{"sent between record and sync", []string{asked, record, answer, sync}, "before its record was synced"},
		{"sent while it is being synced", []string{asked, record, syncs, answer, resumed}, "before its record was synced"},
		{"its sending began before the sync was done", []string{asked, record, syncs, began, resumed, ended}, "before its record was synced"},
		{"sent twice, once too early", []string{asked, answer, record, sync, answer}, "before its record was synced"},
		{"synced before it was written", []string{asked, sync, record, answer}, "was not synced"},
		{"another file was synced", []string{asked, record, elsewhere, answer}, "was not synced"},
		{"the sync failed", []string{asked, record, failed, answer}, "was not synced"},
		{"no record", []string{asked, sync, answer}, "no record of it"},
		{"recorded before it was asked for", []string{record, asked, sync, answer}, "before it was asked for"},
		{"nobody asked", []string{acked, record, sync, answer}, "no datagram came in"},
		{"no answer", []string{asked, record, sync, acked, toPeer}, "not seen to leave"},
		{"the answer before is sent again meanwhile", []string{asked, record, before, sync, answer}, ""},
	} {
		events, err := parseTrace(strings.NewReader(strings.Join(tt.lines, "\n")+"\n"), "/n/audit", "127.0.0.1:70")
		if err != nil {
			t.Fatalf("%s: %v", tt.sentence, err)
		}
		err = syncedBeforeSent(events, r)
		if tt.says == "" && err != nil || tt.says != "" && (err == nil || !strings.Contains(err.Error(), tt.says)) {
			t.Errorf("%s: %v, want %q", tt.sentence, err, tt.says)
		}
	}
	if _, err := parseTrace(strings.NewReader(syncs+"\n"+strings.Replace(resumed, "fsync", "fdatasync", 1)+"\n"), "/n/audit", "127.0.0.1:70"); !errors.Is(err, errTrace) {
		t.Errorf("a call that returns as another: %v", err)
	}
}
