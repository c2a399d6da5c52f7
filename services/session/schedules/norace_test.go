//go:build !race

package schedules_test

// schedules is how many a run tries. A schedule takes 15 ms of a core, half of that in the page.
const schedules = 10_000
