//go:build race

package schedules_test

// schedules is how many a run tries with the race detector: it halves the speed, and the others show no more races.
const schedules = 1_000
