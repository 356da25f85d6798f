//go:build !race

package warifutest_test

// raceDetector says whether this test is slowed down, about sixfold.
const raceDetector = false
