package ops

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// Facts are the numbers of one moment.
type Facts struct {
	State      string        // what the node says of itself: one of a handful of words
	Serving    bool          // it releases
	FreshAge   time.Duration // since it was last known to be up to date; negative when it never was
	Term       uint64        // of Raft
	Leads      bool
	HasLeader  bool // it knows who leads
	Stored     uint64
	Committed  uint64
	Applied    uint64
	Ceremonies int // under way

	Overlapping int // epochs that are to be over, and still answer
	Unerased    int // key versions with epochs that are over, of which this node still owes its receipt

	AuditOK      bool
	AuditRecords uint64
	AuditSyncs   uint64 // since it was opened
	AuditBytes   int64
	Sent         uint64 // bytes, since the process was started
	DiskFree     int64  // where the audit is; negative when it cannot be asked
	AuditQueue   int    // requests that wait for the next write
	JournalQueue int    // ledger entries that are still to be written into the audit

	// ClockOffset is how far this node's clock is ahead of the median of its peers'.
	ClockOffset  time.Duration
	ClockCompare bool // enough of them said what theirs show
}

// Meters counts what happens between two scrapes. It is safe for concurrent use.
type Meters struct {
	registry  *prometheus.Registry
	decisions *prometheus.CounterVec
	gate      *prometheus.HistogramVec
	device    *prometheus.HistogramVec
	refused   *prometheus.CounterVec
	overload  prometheus.Counter
}

// buckets reach from what a decision without a disk takes to what nobody waits for.
var buckets = []float64{
	0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
}

// NewMeters makes meters that begin at nothing.
func NewMeters() *Meters {
	m := &Meters{
		registry: prometheus.NewRegistry(),
		decisions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "warifu_gate_decisions_total", Help: "Decided items by outcome: released, refused, withheld (denied while its record was written), failed (not recorded); and by the code of a refusal.",
		}, []string{"outcome", "code"}),
		gate: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "warifu_gate_seconds", Help: "Time of one request in the gate, by part: decision, sync (its record, and a use of a grant, made durable), partial.", Buckets: buckets,
		}, []string{"part"}),
		device: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "warifu_hsm_seconds", Help: "Time of one call of the HSM, by call.", Buckets: buckets,
		}, []string{"call"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "warifu_hsm_errors_total", Help: "Calls of the HSM that returned an error, by call.",
		}, []string{"call"}),
		overload: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "warifu_overloaded_total", Help: "Requests to unwrap that were refused since the node had more to do than it could.",
		}),
	}
	m.registry.MustRegister(m.decisions, m.gate, m.device, m.refused, m.overload, collectors.NewGoCollector())
	return m
}

// Decided counts one item: what became of it, and the code of its refusal or nothing.
func (m *Meters) Decided(outcome, code string) { m.decisions.WithLabelValues(outcome, code).Inc() }

// TurnedAway counts one request that was refused before it was looked at.
func (m *Meters) TurnedAway() { m.overload.Inc() }

// Took counts the time of one part of a request in the gate.
func (m *Meters) Took(part string, d time.Duration) {
	m.gate.WithLabelValues(part).Observe(d.Seconds())
}

// Called counts one call of the HSM.
func (m *Meters) Called(call string, d time.Duration, err error) {
	m.device.WithLabelValues(call).Observe(d.Seconds())
	if err != nil {
		m.refused.WithLabelValues(call).Inc()
	}
}

// gauge is one number of [Facts].
type gauge struct {
	name, help string
	value      func(*Facts) (v float64, known bool)
}

func known(v float64) (float64, bool) { return v, true }

func flag(is bool) (float64, bool) {
	if is {
		return 1, true
	}
	return 0, true
}

var gauges = []gauge{
	{"warifu_serving", "1 when the node releases, 0 when not; readyz says why.", func(f *Facts) (float64, bool) { return flag(f.Serving) }},
	{"warifu_fresh_age_seconds", "Since the node was last known to be up to date; at 10 it is stale. Absent when it never was.", func(f *Facts) (float64, bool) { return f.FreshAge.Seconds(), f.FreshAge >= 0 }},
	{"warifu_raft_term", "Raft's term.", func(f *Facts) (float64, bool) { return known(float64(f.Term)) }},
	{"warifu_raft_leads", "1 when this node leads.", func(f *Facts) (float64, bool) { return flag(f.Leads) }},
	{"warifu_raft_leader_known", "1 when this node knows who leads.", func(f *Facts) (float64, bool) { return flag(f.HasLeader) }},
	{"warifu_raft_stored_index", "The last index that is stored here.", func(f *Facts) (float64, bool) { return known(float64(f.Stored)) }},
	{"warifu_raft_committed_index", "The last index that this node knows to be committed.", func(f *Facts) (float64, bool) { return known(float64(f.Committed)) }},
	{"warifu_raft_applied_index", "The last index that the ledger here has taken in.", func(f *Facts) (float64, bool) { return known(float64(f.Applied)) }},
	{"warifu_ceremonies_open", "Ceremonies under way in the ledger.", func(f *Facts) (float64, bool) { return known(float64(f.Ceremonies)) }},
	{"warifu_epochs_overlapping", "Old epochs of keys that still answer beside the new ones.", func(f *Facts) (float64, bool) { return known(float64(f.Overlapping)) }},
	{"warifu_epochs_unerased", "Key versions of which epochs are over whose shares this node has not signed to have erased; at 0 again within a minute.", func(f *Facts) (float64, bool) { return known(float64(f.Unerased)) }},
	{"warifu_audit_ok", "1 when the audit takes records; without it nothing is released.", func(f *Facts) (float64, bool) { return flag(f.AuditOK) }},
	{"warifu_audit_records", "Records in the audit, archived ones included.", func(f *Facts) (float64, bool) { return known(float64(f.AuditRecords)) }},
	{"warifu_audit_bytes", "Size of the audit's segments that are not archived.", func(f *Facts) (float64, bool) { return known(float64(f.AuditBytes)) }},
	{"warifu_disk_free_bytes", "Room left where the audit is. Absent when the system does not say.", func(f *Facts) (float64, bool) { return float64(f.DiskFree), f.DiskFree >= 0 }},
	{"warifu_clock_offset_seconds", "How far this node's clock is ahead of the median of its peers'. Absent until half of them have said what theirs shows.", func(f *Facts) (float64, bool) { return f.ClockOffset.Seconds(), f.ClockCompare }},
}

// Names of the metrics that have a label, and are of the moment.
const (
	stateName = "warifu_state"
	stateHelp = "1, with the node's state in words as `warifu status` shows it."
	queueName = "warifu_queue_length"
	syncsName = "warifu_audit_syncs_total"
	sentName  = "warifu_sent_bytes_total"
	sentHelp  = "Bytes that the node has sent to clients and peers since it was started: packets of QUIC, without the headers of UDP and IP."
	syncsHelp = "Commits of the audit since the node was started, each of which many records share, and each with one sync."
	queueHelp = "What waits, by queue: audit (requests for the next write), journal (ledger entries for the audit)."
)

// moment collects [Facts] at each scrape.
type moment struct{ ask func() Facts }

// Describe implements [prometheus.Collector]: unchecked, since which are there hangs
// on the moment.
func (moment) Describe(chan<- *prometheus.Desc) {}

// Collect implements [prometheus.Collector].
func (m moment) Collect(out chan<- prometheus.Metric) {
	f := m.ask()
	for _, g := range gauges {
		if v, is := g.value(&f); is {
			out <- prometheus.MustNewConstMetric(prometheus.NewDesc(g.name, g.help, nil, nil), prometheus.GaugeValue, v)
		}
	}
	out <- prometheus.MustNewConstMetric(prometheus.NewDesc(stateName, stateHelp, []string{"state"}, nil), prometheus.GaugeValue, 1, f.State)
	out <- prometheus.MustNewConstMetric(prometheus.NewDesc(syncsName, syncsHelp, nil, nil), prometheus.CounterValue, float64(f.AuditSyncs))
	out <- prometheus.MustNewConstMetric(prometheus.NewDesc(sentName, sentHelp, nil, nil), prometheus.CounterValue, float64(f.Sent))
	queues := prometheus.NewDesc(queueName, queueHelp, []string{"queue"}, nil)
	out <- prometheus.MustNewConstMetric(queues, prometheus.GaugeValue, float64(f.AuditQueue), "audit")
	out <- prometheus.MustNewConstMetric(queues, prometheus.GaugeValue, float64(f.JournalQueue), "journal")
}
