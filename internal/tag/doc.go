// Package tag is the one table of domain separation tags, and the one way to
// build the input of a hash or a MAC.
//
// Every such input is a list: the tag first, then each part, each preceded by
// its length as eight bytes, big-endian, and all of it preceded by the number
// of parts. So two different lists never give the same bytes, and no list is a
// prefix of another (Frozen Heart, TSSHOCK).
package tag
