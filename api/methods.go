package api

// ClientProtocol names the client protocol in TLS (ALPN, RFC 7301).
const ClientProtocol = "warifu-client/1"

// Methods of the client protocol and of the peer protocol. Numbers are never
// used again for another method.
const (
	MethodStatus      uint16 = 1   // nil → StatusAnswer
	MethodCluster     uint16 = 2   // nil → ClusterAnswer
	MethodKeyRecord   uint16 = 3   // KeyRecordRequest → KeyRecordAnswer
	MethodKeyList     uint16 = 4   // KeyListRequest → KeyListAnswer
	MethodUnwrap      uint16 = 5   // UnwrapRequest → UnwrapAnswer
	MethodSubmit      uint16 = 6   // SubmitRequest → SubmitAnswer
	MethodAuditTail   uint16 = 7   // AuditTailRequest → AuditTailAnswer
	MethodPolicy      uint16 = 8   // nil → PolicyAnswer
	MethodAnchors     uint16 = 9   // nil → AnchorsAnswer
	MethodDeny        uint16 = 10  // SubmitRequest → ReceiptAnswer
	MethodReceipt     uint16 = 11  // ReceiptRequest → ReceiptAnswer
	MethodUnsealOffer uint16 = 12  // nil → UnsealOffer
	MethodUnsealPiece uint16 = 13  // UnsealPiece → UnsealOffer
	MethodProposals   uint16 = 14  // ProposalsRequest → ProposalsAnswer
	MethodDrill       uint16 = 17  // nil → DrillChallenge
	MethodDrillAnswer uint16 = 18  // DrillAnswer → SubmitAnswer
	MethodDrills      uint16 = 19  // nil → DrillsAnswer
	MethodGrants      uint16 = 16  // GrantsRequest → GrantsAnswer
	MethodAuditHead   uint16 = 20  // nil → AuditHeadAnswer
	MethodAuditPage   uint16 = 21  // AuditPageRequest → AuditPageAnswer
	MethodAuditHashes uint16 = 22  // AuditHashesRequest → AuditHashesAnswer
	MethodKeyAt       uint16 = 30  // KeyAtRequest → KeyAtAnswer
	MethodHealth      uint16 = 40  // nil → HealthAnswer
	MethodEncrypt     uint16 = 41  // EncryptRequest → UnwrapAnswer
	MethodRenewals    uint16 = 31  // nil → RenewalsAnswer
	MethodErasure     uint16 = 36  // ErasureRequest → ErasureAnswer
	MethodLink        uint16 = 37  // LinkRequest → LinkAnswer
	MethodImport      uint16 = 33  // ImportRequest → ImportAnswer
	MethodDatasets    uint16 = 38  // DatasetsRequest → DatasetsAnswer
	MethodEscrows     uint16 = 42  // EscrowsRequest → EscrowsAnswer
	MethodEscrow      uint16 = 43  // EscrowRequest → EscrowAnswer
	MethodBranch      uint16 = 44  // BranchRequest → UnwrapAnswer
	MethodHere        uint16 = 50  // nil → nil
	MethodPeerFresh   uint16 = 100 // FreshRequest → FreshAnswer
	MethodPeerSubmit  uint16 = 101 // SubmitRequest → SubmitAnswer
	MethodPeerLink    uint16 = 102 // LinkRequest → LinkAnswer
	MethodPeerClock   uint16 = 110 // nil → ClockAnswer
	MethodPeerChain   uint16 = 111 // nil → ChainAnswer
	MethodPeerClaims  uint16 = 112 // ClaimsMessage → ClaimsMessage
)

// MaxUnwrapItems bounds the items of one request, so that one frame is at most
// about 150 KiB and one decision loop is short.
const MaxUnwrapItems = 256

// MaxReason bounds a stated reason, in bytes.
const MaxReason = 256

// UnwrapRequest asks one holder for its partials of one or more envelopes of one key or
// of several; those of symmetric keys all of the same sets.
type UnwrapRequest struct {
	RequestID RequestID    `cbor:"1,keyasint"`
	Reason    string       `cbor:"2,keyasint,omitempty"`
	Items     []UnwrapItem `cbor:"3,keyasint"`
	Region    string       `cbor:"4,keyasint,omitempty"` // where the caller says it is, a name; or empty
	Sets      []uint16     `cbor:"5,keyasint,omitempty"` // of a symmetric key: those that this holder is asked for, ascending
}

// MaxSets bounds the sets of holders that a request names: a symmetric key of 5 of 9
// has as many, and none has more.
const MaxSets = 126

// EncryptRequest asks one holder of a symmetric key for the values that one or more
// items are encrypted with. The holder adds to each who asks.
type EncryptRequest struct {
	RequestID RequestID     `cbor:"1,keyasint"`
	Reason    string        `cbor:"2,keyasint,omitempty"`
	Items     []EncryptItem `cbor:"3,keyasint"`
	Region    string        `cbor:"4,keyasint,omitempty"` // where the caller says it is, a name; or empty
	Sets      []uint16      `cbor:"5,keyasint"`           // those that this holder is asked for, ascending; bit i-1 is the holder with index i
}

// EncryptItem is one secret to be encrypted, of which a holder sees the commitment.
type EncryptItem struct {
	Key        KeyID   `cbor:"1,keyasint"`
	Version    uint32  `cbor:"2,keyasint"`
	Context    Context `cbor:"3,keyasint,omitempty"`
	Commitment Digest  `cbor:"4,keyasint"`           // α
	Use        *Use    `cbor:"5,keyasint,omitempty"` // the grant it is asked by, or nil
}

// UnwrapItem is one envelope with the context it was wrapped under.
type UnwrapItem struct {
	Envelope    []byte  `cbor:"1,keyasint"`
	Context     Context `cbor:"2,keyasint,omitempty"`
	Endorsement []byte  `cbor:"3,keyasint,omitempty"` // 16 bytes, or empty
	Prove       bool    `cbor:"4,keyasint,omitempty"` // ask for a share proof; of a symmetric key, for the value of each set
	Use         *Use    `cbor:"5,keyasint,omitempty"` // the grant it is asked by, or nil
	Epoch       uint64  `cbor:"6,keyasint,omitempty"` // of the key: the one that a partial is asked of; 0 for the node's current one
}

// Use is one use of a grant: a slot, which a node binds for good to the first
// envelope and context that it sees in it, or commitment and context.
type Use struct {
	Grant Digest `cbor:"1,keyasint"`
	Slot  uint32 `cbor:"2,keyasint"` // 1 to the grant's uses
}

// AnswerHeader says what the node decided on, so that a fork shows.
type AnswerHeader struct {
	Node           string `cbor:"1,keyasint" json:"node"`
	PolicyDigest   Digest `cbor:"2,keyasint" json:"policy_digest"`
	Index          uint64 `cbor:"3,keyasint" json:"index"`           // last command applied
	Link           Digest `cbor:"4,keyasint" json:"link"`            // chain hash after it
	MilestoneIndex uint64 `cbor:"5,keyasint" json:"milestone_index"` // last multiple of 1,000, or 0
	MilestoneLink  Digest `cbor:"6,keyasint" json:"milestone_link"`
}

// UnwrapAnswer holds one [ItemAnswer] for each item, in order.
type UnwrapAnswer struct {
	Header AnswerHeader `cbor:"1,keyasint"`
	Items  []ItemAnswer `cbor:"2,keyasint"`
}

// ItemAnswer is a partial, or why there is none.
type ItemAnswer struct {
	Refusal     *Error `cbor:"1,keyasint,omitempty"`
	Epoch       uint64 `cbor:"2,keyasint,omitempty"`
	Index       uint32 `cbor:"3,keyasint,omitempty"` // the holder's place 1..h in that epoch's list
	Partial     []byte `cbor:"4,keyasint,omitempty"` // x_i·u, 65 bytes; of a symmetric key the XOR of the values of the sets, 32 bytes
	Proof       []byte `cbor:"5,keyasint,omitempty"` // share proof, when asked
	Endorsement []byte `cbor:"6,keyasint,omitempty"` // 16 bytes
	NextSlot    uint32 `cbor:"7,keyasint,omitempty"` // with a refusal "slot": the one that this envelope has here, or the first that is free
	Current     uint64 `cbor:"8,keyasint,omitempty"` // with a refusal "epoch": the key's current one at this node
	Values      []byte `cbor:"9,keyasint,omitempty"` // of a symmetric key, in place of a partial: 32 bytes for each set asked, in their order
}

// SubmitRequest hands one ledger entry to a node, which passes it to the leader.
type SubmitRequest struct {
	Entry []byte `cbor:"1,keyasint"`
}

// SubmitAnswer says what became of the entry.
type SubmitAnswer struct {
	ID    Digest `cbor:"1,keyasint" json:"id"`
	Index uint64 `cbor:"2,keyasint" json:"index"`           // Raft index it was taken at
	Taken bool   `cbor:"3,keyasint,omitempty" json:"taken"` // false: it was there already
}

// GrantsRequest asks for one grant by id, or with zeros for all that have not
// expired and that the caller may see: an application sees its own.
type GrantsRequest struct {
	ID Digest `cbor:"1,keyasint"`
}

// GrantsAnswer lists grants, the newest first, as many as fit; all of them when More
// is 0.
type GrantsAnswer struct {
	Grants []GrantState `cbor:"1,keyasint,omitempty"`
	More   uint32       `cbor:"2,keyasint,omitempty"`
}

// GrantState is a grant as one node has it.
type GrantState struct {
	ID    Digest `cbor:"1,keyasint"`
	Entry []byte `cbor:"2,keyasint"`           // encoded authority.Entry, with its approvers' signatures
	Index uint64 `cbor:"3,keyasint"`           // Raft index
	Used  uint32 `cbor:"4,keyasint,omitempty"` // slots that are bound at this node
}

// ReceiptRequest asks whether a revoke or a seal is in force at the asked node.
type ReceiptRequest struct {
	ID Digest `cbor:"1,keyasint"` // of the change
}

// ReceiptAnswer carries an encoded authority.SignedReceipt, or says that the node
// can give none.
type ReceiptAnswer struct {
	Receipt []byte `cbor:"1,keyasint,omitempty"`
	State   string `cbor:"2,keyasint"` // "in force", "unknown", "lifted", "not durable"
}

// KeyRecordRequest names a key by name, or by id when Name is empty: its newest
// version, or this one.
type KeyRecordRequest struct {
	Name    string `cbor:"1,keyasint,omitempty"`
	ID      KeyID  `cbor:"2,keyasint"`
	Version uint32 `cbor:"3,keyasint,omitempty"`
}

// KeyRecordAnswer carries an encoded authority.SignedRecord, and an encoded
// authority.SignedLife unless the key is as its order says.
type KeyRecordAnswer struct {
	Record []byte `cbor:"1,keyasint"`
	Life   []byte `cbor:"2,keyasint,omitempty"`
}

// KeyAtRequest asks what the asked node has of a key, named as in [KeyRecordRequest].
type KeyAtRequest struct {
	Name    string   `cbor:"1,keyasint,omitempty"`
	ID      KeyID    `cbor:"2,keyasint"`
	Nonce   [16]byte `cbor:"3,keyasint"`
	Version uint32   `cbor:"4,keyasint,omitempty"` // 0: the newest
}

// KeyAtAnswer carries an encoded authority.SignedKeyAt.
type KeyAtAnswer struct {
	Signed []byte `cbor:"1,keyasint"`
}

// KeyListRequest asks for the named keys whose names come after one; with none, from the
// first on.
type KeyListRequest struct {
	After string `cbor:"1,keyasint,omitempty"`
}

// KeyListAnswer lists named keys, by name: as many as fit.
type KeyListAnswer struct {
	Keys []KeySummary `cbor:"1,keyasint,omitempty"`
	More bool         `cbor:"2,keyasint,omitempty"` // there are keys after the last one
}

// KeySummary is one line of `key list`.
type KeySummary struct {
	Name    string   `cbor:"1,keyasint,omitempty" json:"name"`
	ID      KeyID    `cbor:"2,keyasint" json:"id"`
	Version uint32   `cbor:"3,keyasint" json:"version"`
	Epoch   uint64   `cbor:"4,keyasint" json:"epoch"`
	T       uint32   `cbor:"5,keyasint" json:"t"`
	Holders []string `cbor:"6,keyasint" json:"holders"`
	State   string   `cbor:"7,keyasint" json:"state"`  // "ordered", "in ceremony: PHASE", or of a key that is born its authority.KeyState
	Signed  uint32   `cbor:"8,keyasint" json:"signed"` // holders that have signed its record

	Owner     string            `cbor:"9,keyasint,omitempty" json:"owner,omitempty"`
	Labels    map[string]string `cbor:"10,keyasint,omitempty" json:"labels,omitempty"`
	NotBefore int64             `cbor:"11,keyasint,omitempty" json:"not_before_ms,omitempty"` // of a key that was born pre-active
	NotAfter  int64             `cbor:"12,keyasint,omitempty" json:"not_after_ms,omitempty"`  // when it expires
	Put       Digest            `cbor:"13,keyasint" json:"state_by"`                          // the change that put its state; zeros: none
	Said      Digest            `cbor:"14,keyasint" json:"labels_by"`                         // the change that says owner, labels and expiry; zeros: none

	Ends      Digest `cbor:"15,keyasint" json:"destroyed_by"`                           // the change that orders its destruction; zeros: none
	EndsAfter int64  `cbor:"16,keyasint,omitempty" json:"destroyed_after_ms,omitempty"` // ledger time from which it is destroyed

	Imported bool `cbor:"17,keyasint,omitempty" json:"imported,omitempty"` // a copy was whole before, or will have been: it is outside, with its owner

	Regions []string `cbor:"18,keyasint,omitempty" json:"regions,omitempty"` // that its newest version is pinned to; none: its holders may be anywhere

	Struck []string    `cbor:"20,keyasint,omitempty" json:"struck,omitempty"` // holders without a share of this epoch
	Live   []uint64    `cbor:"21,keyasint,omitempty" json:"live,omitempty"`   // the epochs that release
	Gone   []GoneEpoch `cbor:"22,keyasint,omitempty" json:"gone,omitempty"`   // those that are over, the newest last: at most [MaxGone]

	Purpose string `cbor:"23,keyasint,omitempty" json:"purpose,omitempty"` // of the key's order: "unwrap", or of a symmetric key "encrypt"
	F       uint32 `cbor:"24,keyasint,omitempty" json:"f,omitempty"`       // how many holders may lie, from the order of its shares
}

// MaxGone bounds the epochs that are over in a [KeySummary]: the newest ones, and those
// of which too few holders have signed that they have erased their shares.
const MaxGone = 8

// GoneEpoch is an epoch that is over, and how many holders have signed that they have
// erased their shares of it.
type GoneEpoch struct {
	Epoch  uint64   `cbor:"1,keyasint" json:"epoch"`
	Erased uint32   `cbor:"2,keyasint" json:"erased"`
	Need   uint32   `cbor:"3,keyasint" json:"need"` // so many must, for fewer than the threshold to be left
	Await  []string `cbor:"4,keyasint,omitempty" json:"await,omitempty"`
	From   uint64   `cbor:"5,keyasint,omitempty" json:"from,omitempty"` // the same is so of each epoch from this one on; 0: of this one alone
}

// RenewalsAnswer lists the refreshes and reshares that are not done, and the last
// [MaxRenewed] that are, the oldest first.
type RenewalsAnswer struct {
	Renewals []RenewalSummary `cbor:"1,keyasint,omitempty"`
}

// MaxRenewed bounds the refreshes and reshares in an answer that are done.
const MaxRenewed = 64

// RenewalSummary is how far an order of new shares has come.
type RenewalSummary struct {
	Order   Digest `cbor:"1,keyasint" json:"order"` // id of the change
	Kind    string `cbor:"2,keyasint" json:"kind"`  // "refresh", "reshare"
	Index   uint64 `cbor:"3,keyasint" json:"index"`
	Total   uint32 `cbor:"4,keyasint" json:"total"` // versions of keys
	Left    uint32 `cbor:"5,keyasint" json:"left"`  // without new shares yet
	Attempt uint64 `cbor:"6,keyasint" json:"runs"`  // that were opened
	Phase   string `cbor:"7,keyasint,omitempty" json:"phase,omitempty"`
	Batch   uint32 `cbor:"8,keyasint,omitempty" json:"batch,omitempty"` // keys in the run that is open
	Ended   uint64 `cbor:"9,keyasint,omitempty" json:"ended,omitempty"` // Raft index where all was done
}

// ClusterAnswer is what a client needs to know of the cluster beside its genesis.
type ClusterAnswer struct {
	Genesis []byte   `cbor:"1,keyasint"`           // encoded authority.SignedGenesis
	Claims  [][]byte `cbor:"2,keyasint,omitempty"` // newer address claims
	// Succession is every change that replaced custodians, oldest first; see
	// authority.Follow.
	Succession [][]byte `cbor:"3,keyasint,omitempty"`
}

// RosterUnfinished begins the warning of a node that waits for the end of a change of the
// roster; what it waits for follows.
const RosterUnfinished = "a change of the roster is not finished"

// ExtraDoor begins the warning of a node that shares of a key are escrowed to custodians;
// which, to whom and since when follows.
const ExtraDoor = "extra door"

// RosterWithout is the warning of a node that the roster does not name.
const RosterWithout = "this node is not on the roster"

// RotationOverdue begins the warning of a node whose ledger has a rotation that was due by
// a period, and has not come; which one follows.
const RotationOverdue = "a rotation is overdue"

// StatusAnswer is one node's view of itself and of the ledger.
type StatusAnswer struct {
	Node         string            `cbor:"1,keyasint" json:"node"`
	Region       string            `cbor:"2,keyasint" json:"region"`
	Cluster      ClusterID         `cbor:"3,keyasint" json:"cluster"`
	State        string            `cbor:"4,keyasint" json:"state"` // unborn, sealed, serving, stale, audit: ...
	Leader       string            `cbor:"5,keyasint,omitempty" json:"leader"`
	Index        uint64            `cbor:"6,keyasint" json:"index"`
	TailIndex    uint64            `cbor:"7,keyasint" json:"tail_index"`
	Link         Digest            `cbor:"8,keyasint" json:"link"`
	Root         Digest            `cbor:"9,keyasint" json:"state_root"`
	FreshFor     int64             `cbor:"10,keyasint" json:"fresh_for_ms"` // negative: stale since
	HSM          string            `cbor:"11,keyasint" json:"hsm"`
	TokenSerial  string            `cbor:"12,keyasint" json:"token_serial"`
	Audit        string            `cbor:"13,keyasint" json:"audit"`
	AuditRecords uint64            `cbor:"14,keyasint" json:"audit_records"`
	LedgerTime   int64             `cbor:"15,keyasint" json:"ledger_time_ms"`
	PolicyDigest Digest            `cbor:"16,keyasint" json:"policy_digest"`
	Keys         uint32            `cbor:"17,keyasint" json:"keys"`
	RaftIndex    uint64            `cbor:"18,keyasint" json:"raft_last_index"`
	Warnings     []string          `cbor:"19,keyasint,omitempty" json:"warnings,omitempty"`
	Anchors      map[string]uint64 `cbor:"20,keyasint,omitempty" json:"anchors,omitempty"` // posted by each node
	FormerLocks  []FormerLock      `cbor:"21,keyasint,omitempty" json:"former_locks,omitempty"`
	Pools        []PoolSummary     `cbor:"22,keyasint,omitempty" json:"pools,omitempty"`
}

// PoolSummary is what a pool has of keys that are born ahead.
type PoolSummary struct {
	Name        string   `cbor:"1,keyasint" json:"name"`
	Order       Digest   `cbor:"2,keyasint" json:"order"` // id of the change
	T           uint32   `cbor:"3,keyasint" json:"threshold"`
	Holders     []string `cbor:"4,keyasint" json:"holders"`
	Size        uint32   `cbor:"5,keyasint" json:"size"`
	Waiting     uint32   `cbor:"6,keyasint" json:"waiting"` // keys that no order has taken
	LifeSeconds uint64   `cbor:"7,keyasint" json:"life_seconds"`
	Attempt     uint64   `cbor:"8,keyasint" json:"runs"` // that were opened
	Phase       string   `cbor:"9,keyasint,omitempty" json:"phase,omitempty"`
	Batch       uint32   `cbor:"10,keyasint,omitempty" json:"batch,omitempty"`  // keys in the run that is open
	Opened      int64    `cbor:"11,keyasint,omitempty" json:"opened,omitempty"` // when that was, by ledger time, Unix milliseconds
}

// FormerLock is a node whose seal may still be one that former custodians open: until it
// has said that it is destroyed, they keep their files.
type FormerLock struct {
	Node       string   `cbor:"1,keyasint" json:"node"`
	Changes    uint64   `cbor:"2,keyasint,omitempty" json:"changes"` // after so many changes of the custodians or the roster these were in force
	Custodians []string `cbor:"3,keyasint" json:"custodians"`        // by name
}

// ChainAnswer is every change that replaced custodians or changed the roster, oldest
// first, as a node has them committed.
type ChainAnswer struct {
	Entries [][]byte `cbor:"1,keyasint,omitempty"`
}

// ClaimsMessage is what one member knows of where others are: each claim that is newer
// than the node's roster line, as an encoded authority.AddressClaim.
type ClaimsMessage struct {
	Claims [][]byte `cbor:"1,keyasint,omitempty"`
}

// HealthAnswer is what one node says of its program, its disk and its machine.
type HealthAnswer struct {
	Node          string         `cbor:"1,keyasint" json:"node"`
	Time          int64          `cbor:"2,keyasint" json:"time_ms"`   // what its clock shows, Unix milliseconds
	Uptime        int64          `cbor:"3,keyasint" json:"uptime_ms"` // of the process
	Program       string         `cbor:"4,keyasint" json:"program"`   // the commit it was built from, or "unknown"
	DiskKnown     bool           `cbor:"5,keyasint,omitempty" json:"disk_known"`
	DiskFree      int64          `cbor:"6,keyasint,omitempty" json:"disk_free_bytes"` // where the audit is
	AuditBytes    int64          `cbor:"7,keyasint" json:"audit_bytes"`               // not archived
	AuditReserve  int64          `cbor:"8,keyasint" json:"audit_reserve_bytes"`
	AuditPerDay   int64          `cbor:"9,keyasint,omitempty" json:"audit_bytes_per_day"` // 0: not known yet
	MemoryLocked  bool           `cbor:"10,keyasint,omitempty" json:"memory_locked"`
	ReceiveBuffer int64          `cbor:"11,keyasint,omitempty" json:"receive_buffer_bytes"` // of its smaller socket; 0: not known
	Struck        []StruckHolder `cbor:"12,keyasint,omitempty" json:"struck,omitempty"`     // at most 100
	// Unerased counts, by node, the key versions of which epochs are over whose shares that
	// node has not signed to have erased, as the ledger has it.
	Unerased map[string]uint32 `cbor:"13,keyasint,omitempty" json:"unerased,omitempty"`
}

// StruckHolder is a node on a key's list of holders that has no share in its epoch.
type StruckHolder struct {
	Key  string `cbor:"1,keyasint" json:"key"`
	Node string `cbor:"2,keyasint" json:"node"`
}

// AuditTailRequest asks for the last records of the asked node's audit.
type AuditTailRequest struct {
	Count uint32 `cbor:"1,keyasint"`
}

// AuditTailAnswer carries encoded audit records, oldest first.
type AuditTailAnswer struct {
	First      uint64   `cbor:"1,keyasint"`
	Records    [][]byte `cbor:"2,keyasint,omitempty"`
	Checkpoint []byte   `cbor:"3,keyasint,omitempty"` // signed note
}

// AuditHeadAnswer is how far the asked node's audit goes now, for whoever copies it.
type AuditHeadAnswer struct {
	Checkpoint []byte `cbor:"1,keyasint"`           // signed note; it covers every record that can be asked for
	Archived   uint64 `cbor:"2,keyasint,omitempty"` // of records below this index only the hashes can be asked for
}

// AuditPageRequest asks for records of the asked node's audit by their indices.
type AuditPageRequest struct {
	From    uint64 `cbor:"1,keyasint"`
	Below   uint64 `cbor:"2,keyasint"`           // the first index that is not asked for
	Count   uint32 `cbor:"3,keyasint"`           // at most so many
	Entries bool   `cbor:"4,keyasint,omitempty"` // those that carry a whole ledger entry, and no others
}

// AuditPageAnswer carries records by ascending index: as many as fit, and one at
// least if there is one.
type AuditPageAnswer struct {
	Records []AuditRecord `cbor:"1,keyasint,omitempty"`
}

// AuditRecord is a record with what its hash covers beside it.
type AuditRecord struct {
	Index uint64 `cbor:"1,keyasint"`
	First uint64 `cbor:"2,keyasint"` // index of the first record of the same commit
	Body  []byte `cbor:"3,keyasint"` // an encoded audit record
}

// AuditHashesRequest asks for the hashes of records in the tree of the asked node's
// audit (RFC 6962, section 2.1).
type AuditHashesRequest struct {
	From  uint64 `cbor:"1,keyasint"`
	Count uint32 `cbor:"2,keyasint"` // at most so many
}

// AuditHashesAnswer carries hashes in order, 32 bytes each: as many as fit.
type AuditHashesAnswer struct {
	Hashes []byte `cbor:"1,keyasint,omitempty"`
}

// AnchorsAnswer carries each node's latest anchor, an encoded authority.Entry, as it
// stands in the ledger.
type AnchorsAnswer struct {
	Entries [][]byte `cbor:"1,keyasint,omitempty"`
}

// PolicyAnswer is the policy document in force, encoded, and its digest.
type PolicyAnswer struct {
	Document []byte `cbor:"1,keyasint,omitempty"`
	Digest   Digest `cbor:"2,keyasint"`
	Change   Digest `cbor:"3,keyasint"` // id of the change that put it
	Index    uint64 `cbor:"4,keyasint"` // the last command that the node has applied
}

// ProposalsRequest asks for what is before the custodians: with an id for that change
// alone, whole.
type ProposalsRequest struct {
	ID Digest `cbor:"1,keyasint"`
}

// ProposalsAnswer lists proposals, the newest first, and the last command that the
// node has applied.
type ProposalsAnswer struct {
	Index     uint64            `cbor:"1,keyasint"`
	Proposals []ProposalSummary `cbor:"2,keyasint,omitempty"`
}

// ProposalSummary is a change that is, or was, before the custodians. Nothing in it
// but body and signatures can be verified.
type ProposalSummary struct {
	ID        Digest   `cbor:"1,keyasint" json:"id"` // of the change
	Kind      string   `cbor:"2,keyasint" json:"kind"`
	Body      []byte   `cbor:"3,keyasint,omitempty" json:"-"` // what custodians sign, while it is open and when it alone is asked for
	By        Digest   `cbor:"4,keyasint" json:"by"`          // SHA-256 of the custodian's key
	Index     uint64   `cbor:"5,keyasint" json:"index"`
	NotAfter  int64    `cbor:"6,keyasint" json:"not_after_ms"`
	Approvals []Ballot `cbor:"7,keyasint,omitempty" json:"approvals,omitempty"`
	Cancels   []Ballot `cbor:"8,keyasint,omitempty" json:"cancels,omitempty"`
	State     string   `cbor:"9,keyasint" json:"state"` // "open", "expired", "passed", "failed", "cancelled"
	Ended     uint64   `cbor:"10,keyasint,omitempty" json:"ended,omitempty"`
	Why       string   `cbor:"11,keyasint,omitempty" json:"why,omitempty"` // of a failed one: the name of the reason
	Required  uint32   `cbor:"12,keyasint,omitempty" json:"required"`      // votes that pass it, or cancel it, while it is open
}

// Ballot is one custodian's vote. The signature of an approval is over the change.
type Ballot struct {
	Signer    Digest `cbor:"1,keyasint" json:"signer"` // SHA-256 of the custodian's key
	Index     uint64 `cbor:"2,keyasint" json:"index"`
	Signature []byte `cbor:"3,keyasint,omitempty" json:"-"` // of a proposal that alone is asked for
}

// DrillChallenge is a fresh nonce, encrypted to the asking custodian's opening key with
// what it is about: cluster, node, custodian, and the last command applied.
type DrillChallenge struct {
	Node  string `cbor:"1,keyasint"`
	Index uint64 `cbor:"2,keyasint"`
	Link  Digest `cbor:"3,keyasint"`
	Box   []byte `cbor:"4,keyasint"` // age
}

// DrillAnswer shows that the custodian has opened the challenge it was given last, and
// that it can sign.
type DrillAnswer struct {
	Answer    Digest `cbor:"1,keyasint"`
	Signature []byte `cbor:"2,keyasint"` // as of an authority.Drill
}

// DrillsAnswer says when each custodian in force drilled last.
type DrillsAnswer struct {
	Drills []DrillSummary `cbor:"1,keyasint,omitempty"`
}

// DrillSummary is one custodian's last drill.
type DrillSummary struct {
	Custodian Digest `cbor:"1,keyasint"` // SHA-256 of its signing key
	Node      string `cbor:"2,keyasint"` // that vouches for it
	Index     uint64 `cbor:"3,keyasint"` // where the ledger took it
	Time      int64  `cbor:"4,keyasint"` // ledger time then, Unix milliseconds
}

// ClockAnswer is what a member's clock shows.
type ClockAnswer struct {
	Time int64 `cbor:"1,keyasint"` // Unix milliseconds
}

// FreshRequest asks a voter how far its log reaches.
type FreshRequest struct {
	Nonce [16]byte `cbor:"1,keyasint"`
}

// FreshAnswer is a voter's word over the asker's nonce: how far its log reaches, and
// the last command that it has committed, with the link after it, so that a fork
// shows.
type FreshAnswer struct {
	Index         uint64 `cbor:"1,keyasint"` // the log's end
	Link          Digest `cbor:"2,keyasint"` // after the last command up to there
	Signature     []byte `cbor:"3,keyasint"`
	Committed     uint64 `cbor:"4,keyasint"`
	CommittedLink Digest `cbor:"5,keyasint"`
}

// ErasureRequest asks for a proof of what the ledger has of a destroyed key, by name or
// by id, behind a path of its state.
type ErasureRequest struct {
	Name  string `cbor:"1,keyasint,omitempty"`
	ID    KeyID  `cbor:"2,keyasint"`
	After string `cbor:"3,keyasint,omitempty"` // empty: from the beginning
}

// ErasureAnswer is a proof that leads to the link of a point of the chain: who believes
// that believes the proof.
type ErasureAnswer struct {
	Key   KeyID  `cbor:"1,keyasint"`
	Index uint64 `cbor:"2,keyasint"`
	Link  Digest `cbor:"3,keyasint"`
	Proof []byte `cbor:"4,keyasint"`           // encoded ledger.Proof
	Next  string `cbor:"5,keyasint,omitempty"` // to ask after; empty: that was all
}

// DatasetsRequest asks what owners have stated to be under a key, by name or by id.
type DatasetsRequest struct {
	Name string `cbor:"1,keyasint,omitempty"`
	ID   KeyID  `cbor:"2,keyasint"`
}

// DatasetsAnswer lists it, in the order in which it came.
type DatasetsAnswer struct {
	Key      KeyID          `cbor:"1,keyasint"`
	Datasets []DatasetState `cbor:"2,keyasint,omitempty"`
}

// DatasetState is an owner's statement as the ledger has it.
type DatasetState struct {
	Entry []byte `cbor:"1,keyasint"` // see authority.VerifyDataset
	Node  string `cbor:"2,keyasint"` // which knew the caller by the certificate in it
	Index uint64 `cbor:"3,keyasint"` // Raft index
	Time  int64  `cbor:"4,keyasint"` // ledger time then, Unix milliseconds
}

// EscrowsRequest asks for the orders to seal the shares of a key to custodians, by name or
// by id.
type EscrowsRequest struct {
	Name string `cbor:"1,keyasint,omitempty"`
	ID   KeyID  `cbor:"2,keyasint"`
}

// EscrowsAnswer lists them, by the id of the order.
type EscrowsAnswer struct {
	Key     KeyID           `cbor:"1,keyasint"`
	Escrows []EscrowSummary `cbor:"2,keyasint,omitempty"`
}

// EscrowSummary is one order of escrow: a door beside policy and audit.
type EscrowSummary struct {
	Order      Digest   `cbor:"1,keyasint" json:"order"` // id of the change
	Version    uint32   `cbor:"2,keyasint" json:"version"`
	Epoch      uint64   `cbor:"3,keyasint" json:"epoch"`
	T          uint32   `cbor:"4,keyasint" json:"t"`    // so many of the shares open everything under the version
	Open       uint32   `cbor:"5,keyasint" json:"open"` // so many of the custodians open a share
	Holders    uint32   `cbor:"6,keyasint" json:"holders"`
	Sealed     []string `cbor:"7,keyasint,omitempty" json:"sealed"` // whose shares are sealed
	Custodians []string `cbor:"8,keyasint" json:"custodians"`       // to whom
	Since      int64    `cbor:"9,keyasint" json:"since_ms"`         // ledger time
	Index      uint64   `cbor:"10,keyasint" json:"ledger_index"`
}

// EscrowRequest asks for an order of escrow, or for what the holder of an index has sealed
// by it.
type EscrowRequest struct {
	Key   KeyID  `cbor:"1,keyasint"`
	Order Digest `cbor:"2,keyasint"`
	Index uint32 `cbor:"3,keyasint,omitempty"` // 0: the order itself
}

// EscrowAnswer carries an encoded authority.Entry: the order, or a holder's statement;
// none where the holder has sealed nothing.
type EscrowAnswer struct {
	Entry []byte `cbor:"1,keyasint,omitempty"`
	After uint64 `cbor:"2,keyasint,omitempty"` // of the order: how many changes of custodians and roster there had been
}

// LinkRequest asks a node to vouch for a point of the chain: that it has applied
// the entry of this index, and that this is the link after the last command at or
// below it.
type LinkRequest struct {
	Index uint64 `cbor:"1,keyasint"`
	Link  Digest `cbor:"2,keyasint"`
}

// LinkAnswer is the node's signature over both, its cluster and its name.
type LinkAnswer struct {
	Signature []byte `cbor:"1,keyasint"`
}

// UnsealOffer is what a node shows a custodian of its seal. Signature is the node's,
// over cluster, node, generation, attempt and door; a custodian believes nothing
// else of it.
type UnsealOffer struct {
	Node       string   `cbor:"1,keyasint" json:"node"`
	State      string   `cbor:"2,keyasint" json:"state"`
	Locked     bool     `cbor:"3,keyasint,omitempty" json:"locked"` // there is something for custodians to open; else the rest is empty
	Generation uint64   `cbor:"4,keyasint,omitempty" json:"generation,omitempty"`
	Attempt    [16]byte `cbor:"5,keyasint" json:"-"`
	Door       []byte   `cbor:"6,keyasint,omitempty" json:"-"` // HPKE public key of this attempt, 1,249 bytes
	Signature  []byte   `cbor:"7,keyasint,omitempty" json:"-"`
	Box        []byte   `cbor:"8,keyasint,omitempty" json:"-"` // the asking custodian's piece, encrypted to it
	Have       []string `cbor:"9,keyasint,omitempty" json:"have,omitempty"`
	Need       uint32   `cbor:"10,keyasint,omitempty" json:"need,omitempty"`
	Place      uint32   `cbor:"11,keyasint,omitempty" json:"place,omitempty"`      // of the asking custodian's piece, from 1; 0: it has none
	Former     bool     `cbor:"12,keyasint,omitempty" json:"former,omitempty"`     // the custodians who open it were replaced since
	Custodians []string `cbor:"13,keyasint,omitempty" json:"custodians,omitempty"` // whose pieces open it, in their order
}

// UnsealPiece hands a custodian's piece to a node's door. Whose it is, the connection
// says.
type UnsealPiece struct {
	Generation uint64   `cbor:"1,keyasint"`
	Attempt    [16]byte `cbor:"2,keyasint"`
	Handed     []byte   `cbor:"3,keyasint"` // HPKE, 1,202 bytes
}
