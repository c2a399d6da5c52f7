package main

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// sumFile has one line for each release, as sha256sum writes and checks them: in contracts/,
// "sha256sum --check published.sum". A line is never changed.
const sumFile = "published.sum"

// releasePath matches published/events/metric-update/v1/3.json: release 3 of that kind.
var releasePath = regexp.MustCompile(`^published/([a-z]+/[a-z0-9-]+/v[1-9][0-9]*)/([1-9][0-9]*)\.json$`)

var sumLine = regexp.MustCompile(`^([0-9a-f]{64})  (published/\S+)$`)

// published is what was released: for each kind its releases, the first one first.
type published struct {
	releases map[string][]bundle
	sums     map[string]string // hash by path
}

// last is the newest release of a kind, and its number; 0 if there is none.
func (p published) last(kind string) (bundle, int) {
	all := p.releases[kind]
	if len(all) == 0 {
		return bundle{}, 0
	}
	return all[len(all)-1], len(all)
}

const restore = "A release never changes. Put back what git has: git checkout -- contracts/published contracts/published.sum. " +
	"What you want to change is in contracts/schemas; scripts/gen --publish releases it"

// loadPublished reads the releases, and reports where they are not what published.sum says.
func loadPublished(contracts fs.FS) (published, problems, error) {
	out := published{releases: map[string][]bundle{}, sums: map[string]string{}}
	var found problems
	broken := func(at, format string, args ...any) {
		found = append(found, problem{at, "frozen", fmt.Sprintf(format, args...), restore})
	}

	list, err := fs.ReadFile(contracts, sumFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return out, nil, err
	}
	for line := range strings.Lines(string(list)) {
		m := sumLine.FindStringSubmatch(strings.TrimSuffix(line, "\n"))
		if m == nil {
			broken(sumFile, "the line %q is no hash and path", strings.TrimSpace(line))
			continue
		}
		out.sums[m[2]] = m[1]
	}

	files, err := filesBelow(contracts, "published")
	if err != nil {
		return out, nil, err
	}
	numbered := map[string]map[int]bundle{}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		m := releasePath.FindStringSubmatch(name)
		if m == nil {
			broken(name, "is no release: those are called like published/events/metric-update/v1/1.json")
			continue
		}
		switch want, ok := out.sums[name]; {
		case !ok:
			broken(name, "has no line in %s", sumFile)
		case want != sum(files[name]):
			broken(name, "was changed after it was released: it is not what %s says", sumFile)
		}
		b, err := parseBundle(m[1], files[name])
		if err != nil {
			broken(name, "cannot be read: %v", err)
			continue
		}
		if numbered[m[1]] == nil {
			numbered[m[1]] = map[int]bundle{}
		}
		number, err := strconv.Atoi(m[2])
		if err != nil {
			return out, nil, err
		}
		numbered[m[1]][number] = b
	}
	for _, name := range slices.Sorted(maps.Keys(out.sums)) {
		if _, ok := files[name]; !ok {
			broken(name, "was released and is gone")
		}
	}
	for kind, releases := range numbered {
		for i := range len(releases) {
			b, ok := releases[i+1]
			if !ok {
				broken("published/"+kind, "release %d is missing", i+1)
				break
			}
			out.releases[kind] = append(out.releases[kind], b)
		}
	}
	return out, found, nil
}

func sum(text []byte) string { return fmt.Sprintf("%x", sha256.Sum256(text)) }

// filesBelow reads all files of a folder, by their path; a folder that is not there has none.
func filesBelow(contracts fs.FS, folder string) (map[string][]byte, error) {
	out := map[string][]byte{}
	err := fs.WalkDir(contracts, folder, func(name string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) && name == folder {
			return fs.SkipAll
		}
		if err != nil || entry.IsDir() {
			return err
		}
		out[name], err = fs.ReadFile(contracts, name)
		return err
	})
	return out, err
}

// check returns every promise that the contracts break or, if there is none, the schemas that wait for
// their release.
func check(contracts fs.FS) (problems, error) {
	found, unreleased, err := inspect(contracts)
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		for _, u := range unreleased {
			found = append(found, u.problem())
		}
	}
	return found, nil
}

// unreleased is a kind that differs from its last release, if it has one.
type unreleased struct {
	kind    string
	number  int // of the release that it would be
	now     bundle
	changes []change
}

func (u unreleased) problem() problem {
	p := problem{
		at:   "schemas/" + u.kind + ".json",
		rule: "unreleased",
		text: fmt.Sprintf("differs from its release %d: %s", u.number-1, u.news()),
		mend: "Nothing breaks by this. Run this, then commit what it adds: scripts/gen --publish",
	}
	if u.number == 1 {
		p.text = "was never released"
	}
	return p
}

// news says what is new, for a line of output.
func (u unreleased) news() string {
	if u.number == 1 {
		return "first release"
	}
	if len(u.changes) == 0 {
		return "only texts and layout changed"
	}
	var b strings.Builder
	for i, c := range u.changes {
		if i > 0 {
			b.WriteString("; ")
		}
		b.WriteString(c.text)
	}
	return b.String()
}

// inspect returns the broken promises, and the kinds that may be released once there are none.
func inspect(contracts fs.FS) (problems, []unreleased, error) {
	schemas, err := fs.Sub(contracts, "schemas")
	if err != nil {
		return nil, nil, err
	}
	kinds, err := loadSchemas(schemas)
	if err != nil {
		return nil, nil, err
	}
	past, found, err := loadPublished(contracts)
	if err != nil || len(found) > 0 {
		return found, nil, err // nothing can be held against a release that is not what it was
	}
	broken, waiting := compare(kinds, past)
	found = broken
	more, err := uncovered(contracts, kinds)
	if err != nil {
		return nil, nil, err
	}
	if found = append(found, more...); len(found) == 0 {
		found, err = unreadable(contracts, kinds, past)
	}
	return found, waiting, err
}

// compare holds today's schemas against every release. One change of a shared definition shows in many
// kinds and releases; it is one problem.
func compare(kinds map[string]bundle, past published) (problems, []unreleased) {
	type reach struct {
		change
		where []string
	}
	var broken []*reach
	var found problems
	var waiting []unreleased
	for _, kind := range slices.Sorted(maps.Keys(kinds)) {
		now := kinds[kind]
		breaks := false
		for i, release := range past.releases[kind] {
			how := apart
			if i == len(past.releases[kind])-1 {
				how = neighbours
			}
			for _, c := range classify(release, now, how) {
				if !c.breaks {
					continue
				}
				breaks = true
				at := slices.IndexFunc(broken, func(r *reach) bool { return r.String() == c.String() })
				if at < 0 {
					at = len(broken)
					broken = append(broken, &reach{change: c})
				}
				broken[at].where = append(broken[at].where, fmt.Sprintf("%s release %d", kind, i+1))
			}
		}
		last, number := past.last(kind)
		if !breaks && (number == 0 || !bytes.Equal(last.text(), now.text())) {
			u := unreleased{kind: kind, number: number + 1, now: now}
			if number > 0 {
				u.changes = classify(last, now, neighbours)
			}
			waiting = append(waiting, u)
		}
	}
	for _, r := range broken {
		text := fmt.Sprintf("%s. This breaks those who rely on %s", r.text, r.where[0])
		if more := len(r.where) - 1; more > 0 {
			text += fmt.Sprintf(" and %d more", more)
		}
		found = append(found, problem{r.at.String(), r.rule, text, adviceOn[r.rule]})
	}
	for _, kind := range slices.Sorted(maps.Keys(past.releases)) {
		if _, ok := kinds[kind]; !ok {
			found = append(found, problem{"schemas/" + kind + ".json", "withdrawn", "was released and is gone",
				"Put it back. A major version is retired only when no queue, dead-letter queue or open page can still hold it; then its releases go in the same commit"})
		}
	}
	return found, waiting
}

// file is something to write below contracts/.
type file struct {
	path    string
	content []byte
}

// release returns the files that publish every kind that differs from its last release, and a line of
// news for each. It refuses while any promise is broken.
func release(contracts fs.FS) ([]file, []string, error) {
	found, waiting, err := inspect(contracts)
	if err != nil {
		return nil, nil, err
	}
	if len(found) > 0 {
		return nil, nil, fmt.Errorf("nothing was released: %w", found)
	}
	if len(waiting) == 0 {
		return nil, []string{"every schema is as it was last released"}, nil
	}
	past, _, err := loadPublished(contracts)
	if err != nil {
		return nil, nil, err
	}
	var files []file
	var news []string
	for _, u := range waiting {
		f := file{path.Join("published", u.kind, strconv.Itoa(u.number)+".json"), u.now.text()}
		files = append(files, f)
		past.sums[f.path] = sum(f.content)
		news = append(news, fmt.Sprintf("released %s, release %d: %s", u.kind, u.number, u.news()))
		for _, c := range u.changes {
			if c.rule == "reworded" {
				news = append(news, "  "+c.String())
			}
		}
	}
	var list bytes.Buffer
	for _, name := range slices.SortedFunc(maps.Keys(past.sums), byRelease) {
		fmt.Fprintf(&list, "%s  %s\n", past.sums[name], name)
	}
	return append(files, file{sumFile, list.Bytes()}), news, nil
}

// byRelease orders paths so that release 10 comes after release 9.
func byRelease(a, b string) int {
	if path.Dir(a) == path.Dir(b) && len(a) != len(b) {
		return len(a) - len(b)
	}
	return strings.Compare(a, b)
}
