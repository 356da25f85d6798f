//go:build race

package warifutest_test

const raceDetector = true
