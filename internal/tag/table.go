package tag

// Tag is a domain separation tag. All of them are in this file.
type Tag string

// Envelopes and keys (sharing/tdh2).
const (
	EnvelopeLabel     Tag = "warifu/v1/envelope/label"
	EnvelopeChallenge Tag = "warifu/v1/envelope/challenge"
	EnvelopeKEK       Tag = "warifu/v1/envelope/kek"
	EnvelopeAAD       Tag = "warifu/v1/envelope/aad"
	EnvelopeHash      Tag = "warifu/v1/envelope/hash"
	EnvelopeNonce     Tag = "warifu/v1/envelope/nonce"
	Endorsement       Tag = "warifu/v1/envelope/endorsement"
	SecondGenerator   Tag = "warifu/v1/second-generator"
	ShareProof        Tag = "warifu/v1/share-proof"
	ShareProofNonce   Tag = "warifu/v1/share-proof/nonce"
	Context           Tag = "warifu/v1/context"
)

// Symmetric keys (sharing/tprf).
const (
	ItemInput      Tag = "warifu/v1/item/input"
	ItemCommitment Tag = "warifu/v1/item/commitment"
	ItemKey        Tag = "warifu/v1/item/key"
	ItemAAD        Tag = "warifu/v1/item/aad"
	ItemHash       Tag = "warifu/v1/item/hash"
	BranchInput    Tag = "warifu/v1/branch/input"
	BranchItem     Tag = "warifu/v1/branch/item"
	SetKey         Tag = "warifu/v1/set-key/hash"
	SetKeyDerived  Tag = "warifu/v1/set-key/derived"
	Contribution   Tag = "warifu/v1/set-key/contribution"
	SeedPart       Tag = "warifu/v1/set-key/seed-part"
	SeedPartHash   Tag = "warifu/v1/set-key/seed-part/hash"
	SeedCommitment Tag = "warifu/v1/set-key/seed-commitment"
)

// Ceremonies (sharing/dkg, consensus/board).
const (
	Session        Tag = "warifu/v1/ceremony/session"
	BoardPhase     Tag = "warifu/v1/ceremony/phase"
	BoardPost      Tag = "warifu/v1/ceremony/post"
	BoardDigest    Tag = "warifu/v1/ceremony/digest"
	BoardEvents    Tag = "warifu/v1/ceremony/events"
	OldEpoch       Tag = "warifu/v1/ceremony/old-epoch"
	DealCommitment Tag = "warifu/v1/ceremony/commitment"
	DealProof      Tag = "warifu/v1/ceremony/deal-proof"
	DealProofNonce Tag = "warifu/v1/ceremony/deal-proof/nonce"
	DealBox        Tag = "warifu/v1/ceremony/box"
	Transcript     Tag = "warifu/v1/ceremony/transcript"
	Receipt        Tag = "warifu/v1/ceremony/share-receipt"
	ReceiptNonce   Tag = "warifu/v1/ceremony/share-receipt/nonce"
	KeyID          Tag = "warifu/v1/key-id"
	PooledKey      Tag = "warifu/v1/key-id/pooled"
	NextVersion    Tag = "warifu/v1/ceremony/next-version"
	KeyRecord      Tag = "warifu/v1/key-record"
)

// Authority and the ledger (authority, consensus/ledger).
const (
	Genesis           Tag = "warifu/v1/genesis"
	GenesisSignature  Tag = "warifu/v1/genesis/signature"
	Change            Tag = "warifu/v1/change"
	ChangeSignature   Tag = "warifu/v1/change/signature"
	ProposalSignature Tag = "warifu/v1/proposal/signature"
	DrillSignature    Tag = "warifu/v1/drill/signature"
	CancelSignature   Tag = "warifu/v1/proposal/cancel"
	NodeEntry         Tag = "warifu/v1/node-entry"
	NodeSignature     Tag = "warifu/v1/node-entry/signature"
	AddressClaim      Tag = "warifu/v1/address-claim"
	RootOrder         Tag = "warifu/v1/root-order"
	EntryHash         Tag = "warifu/v1/ledger/entry"
	Link              Tag = "warifu/v1/ledger/link"
	StateLeaf         Tag = "warifu/v1/ledger/leaf"
	StateNode         Tag = "warifu/v1/ledger/node"
	StateEmpty        Tag = "warifu/v1/ledger/empty"
	StatePath         Tag = "warifu/v1/ledger/path"
	StateValue        Tag = "warifu/v1/ledger/value"
	LinkSignature     Tag = "warifu/v1/ledger/link-signature"
	FreshAnswer       Tag = "warifu/v1/fresh/answer"
	PolicyDigest      Tag = "warifu/v1/policy"
	TrustAt           Tag = "warifu/v1/ledger/trust"
	RevokeReceipt     Tag = "warifu/v1/revoke/receipt"
	LiveKeys          Tag = "warifu/v1/revoke/live-keys"
	KeyAt             Tag = "warifu/v1/key-at"
	Adopted           Tag = "warifu/v1/adopted"
	GrantSignature    Tag = "warifu/v1/grant/signature"
	ImportSignature   Tag = "warifu/v1/import/signature"
	ImportDealer      Tag = "warifu/v1/import/dealer" // the owner's signing key, made from the key that is imported (client)
	DatasetSignature  Tag = "warifu/v1/dataset/signature"
	CertificateCount  Tag = "warifu/v1/certificate/count"
)

// What rests on a node (node, hsm, audit).
const (
	SealedBlob   Tag = "warifu/v1/sealed"
	KeyringKey   Tag = "warifu/v1/keyring/key"
	KeyringBlob  Tag = "warifu/v1/keyring/blob"
	AuditContext Tag = "warifu/v1/audit/context"
	SelfTest     Tag = "warifu/v1/self-test"
	GrantUse     Tag = "warifu/v1/grant/use"
	GrantSlots   Tag = "warifu/v1/grant/slots"
)

// DrillAnswer is the hash by which a custodian shows what it has opened (sharing/custodian).
const DrillAnswer Tag = "warifu/v1/drill/answer"

// Seals that custodians open (sharing/unseal, node, client).
const (
	UnsealSecret Tag = "warifu/v1/unseal/secret"
	UnsealPiece  Tag = "warifu/v1/unseal/piece"
	UnsealHanded Tag = "warifu/v1/unseal/handed"
	UnsealDoor   Tag = "warifu/v1/unseal/door"
	UnsealShare  Tag = "warifu/v1/unseal/root-share"
)

// Seals that custodians open for a restore (authority, node, client).
const (
	RestoreOffer   Tag = "warifu/v1/restore/offer"
	RestoreAttempt Tag = "warifu/v1/restore/attempt"
)

// Shares that are sealed to custodians (sharing/escrow).
const (
	EscrowSecret Tag = "warifu/v1/escrow/secret"
	EscrowPiece  Tag = "warifu/v1/escrow/piece"
	EscrowShare  Tag = "warifu/v1/escrow/share"
	EscrowKey    Tag = "warifu/v1/escrow/key"
)

// Secrets of people without a cluster (sharing/pieces).
const (
	PieceCommitment Tag = "warifu/v1/piece/commitment"
	PieceSecret     Tag = "warifu/v1/piece/secret"
	PieceSet        Tag = "warifu/v1/piece/set"
)

// Connections (transport).
const StatelessReset Tag = "warifu/v1/transport/stateless-reset"
