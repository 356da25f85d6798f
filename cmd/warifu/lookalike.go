package main

import (
	"strings"
	"unicode"
)

// What a custodian reads has to be what a node reads. A letter of another script
// may look like a Latin one, and some runes look like nothing: both are written
// out, after Unicode Technical Standard 39.

// besideLatin are the scripts that words of a living language mix with Latin
// (UTS 39, section 5.2, Highly Restrictive): in them 割符API is a word, and no letter
// looks like a Latin one.
var besideLatin = []*unicode.RangeTable{unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Hangul, unicode.Bopomofo}

// likeLatin are the Cyrillic and Greek letters that pass for Latin ones: a word
// of nothing else is taken for one (UTS 39, section 4, whole-script confusables).
const likeLatin = "аеорсухѕіјһӏԁԛԝѵАВЕЅІЈКМНОРСТУХҮԌԜ" + "ονιυϲϳΑΒΕΖΗΙΚΜΝΟΡΤΥΧϹͿ"

// marked are the places, in word, of the runes that are to be written out.
func marked(word []rune) map[int]bool {
	out := map[int]bool{}
	latin, like, letters := false, 0, 0
	for _, r := range word {
		if unicode.IsLetter(r) {
			letters++
			latin = latin || plainLatin(r)
			if strings.ContainsRune(likeLatin, r) {
				like++
			}
		}
	}
	posing := letters > 0 && like == letters
	for i, r := range word {
		switch {
		case invisible(r), overlaid(word, i):
			out[i] = true
		case unicode.IsLetter(r):
			out[i] = posing || latin && !plainLatin(r) && !(unicode.In(r, besideLatin...) && !compatible(r))
		case unicode.IsDigit(r):
			out[i] = latin && r > unicode.MaxASCII
		}
	}
	return out
}

// inWord says whether a rune belongs to the word it stands in.
func inWord(r rune) bool {
	return r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r) || invisible(r)
}

func plainLatin(r rune) bool { return unicode.Is(unicode.Latin, r) && !compatible(r) }

// compatible is the block of halfwidth and fullwidth forms.
func compatible(r rune) bool { return r >= 0xff00 && r <= 0xffef }

// invisible says whether a rune has no picture of its own: bidirectional controls,
// joiners, fillers, variation selectors, the empty braille cell.
func invisible(r rune) bool {
	return r == 0x2800 || unicode.In(r, unicode.Cf, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)
}

// overlaid says whether a mark is drawn over something that has letters with their
// marks in one piece (Latin), that is no letter, or that bears one already.
func overlaid(word []rune, i int) bool {
	if !unicode.IsMark(word[i]) {
		return false
	}
	if i == 0 || unicode.Is(unicode.Me, word[i]) {
		return true
	}
	before := word[i-1]
	return !unicode.IsLetter(before) && !unicode.IsMark(before) || plainLatin(before) ||
		i > 1 && unicode.IsMark(before) && unicode.IsMark(word[i-2])
}
