// Package tprf encrypts small secrets under symmetric threshold keys: any t of h
// holders compute one pseudo-random value together, and fewer compute nothing.
//
// The function is the replicated one of Naor, Pinkas and Reingold ("Distributed
// pseudo-random functions and KDCs", EUROCRYPT 1999). For every set S of h-t+1 holders
// there is one key k_S, which exactly the members of S have, and
//
//	F(x) = XOR over all S of HMAC-SHA256(k_S, x)
//
// Any t holders meet every S; t-1 holders miss the one that is made of all others. With
// h = 9 and t = 5 there are 126 sets, the most there are: [MaxHolders].
//
// Encryption is that of DiSE (Agrawal, Mohassel, Mukherjee, Rindal, CCS 2018): the
// encrypter commits to what it encrypts, and the function's input takes in the
// commitment, so that a ciphertext can be neither altered nor opened under another
// context, and who is asked learns nothing:
//
//	Begin(DEK) ──▶ Sealing: ρ, α = HMAC(ρ, DEK)
//	α, context ──▶ t+f holders, each of which adds the principal that asks ──▶ values
//	Sealing + Agree(values) ──Finish──▶ ciphertext              AES-256-GCM of ρ ‖ DEK
//	ciphertext, context ──▶ t holders ──Combine──▶ F ──Open──▶ DEK, held against α
//
// Encrypting asks f holders more than opening and believes a set's value only when f+1
// agree ([Agree]): one liar must not make ciphertexts that nobody can open. It can still
// keep any from being made where h-t < 2f, since then f+1 members of one of its sets
// cannot outvote it; and where h = t there is nobody to check with.
//
// Opening is optimistic: each of t holders gives one sum of the values that [Assign] makes
// its own. If the ciphertext does not open other subsets are tried, and after an opening
// whose α holds, every value that differs from it is a lie ([Blame]); before, nobody is
// blamed.
//
// Who may encrypt can open what it encrypted: nothing here stops a holder's answer from
// being used for both. There is no refresh under the same key: shares turn over by a new
// version and by encrypting again.
//
// Nothing here reads a clock or a file. Randomness is an argument, but for the nonce of
// AES-GCM, which the standard library draws; every encryption has a key of its own.
package tprf
