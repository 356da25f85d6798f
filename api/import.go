package api

// ImportRequest asks how far the import of a key has come.
type ImportRequest struct {
	Name    string `cbor:"1,keyasint"`
	Session Digest `cbor:"2,keyasint"` // a run of it; zeros: the one that is live
}

// ImportAnswer says it. Nothing of it is to be believed as it is: custodians signed the
// order, a session's id follows from order, attempt, roster version and link, and each
// join is signed by its node.
type ImportAnswer struct {
	Order   []byte `cbor:"1,keyasint,omitempty"` // the custodian-signed entry; empty: no import of this name is ordered
	Key     KeyID  `cbor:"2,keyasint"`           // what came of it; zeros: nothing yet
	Attempt uint64 `cbor:"3,keyasint"`           // the last run opened, 0: none

	Session    Digest   `cbor:"4,keyasint"` // the run that was asked for; zeros: there is none
	Run        uint64   `cbor:"5,keyasint"` // which attempt it is
	LinkBefore Digest   `cbor:"6,keyasint"`
	Roster     uint64   `cbor:"7,keyasint"`
	Phase      uint32   `cbor:"8,keyasint"`            // a phase of sharing/dkg
	Posted     bool     `cbor:"9,keyasint,omitempty"`  // the owner has posted in this phase
	Joins      [][]byte `cbor:"10,keyasint,omitempty"` // by holder: the entry with its join; empty where there is none, and when the run is over
	Abandoned  string   `cbor:"11,keyasint,omitempty"` // why the run came to nothing
}
