package watch_test

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/iops-dashboard/live/infra/topology"
)

const runbook = "../../RUNBOOK.md"

// sections are those of the runbook, by the anchors that GitHub gives their heads.
func sections(t *testing.T) map[string]string {
	t.Helper()
	content, err := os.ReadFile(runbook)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, section := range strings.Split(string(content), "\n## ")[1:] {
		head, body, _ := strings.Cut(section, "\n")
		all[strings.ReplaceAll(strings.ToLower(head), " ", "-")] = body
	}
	return all
}

var advice = regexp.MustCompile(`^([A-Z][^.]+\.) See infra/RUNBOOK\.md#([a-z0-9-]+)\.$`)

// Whoever is woken is told what to do, and where more is written; and nothing is written for nobody.
func TestEveryAlarmHasItsSection(t *testing.T) {
	known, named := sections(t), map[string]bool{}
	each(t, func(t *testing.T, s *stack) {
		for name, a := range s.alarms {
			said := advice.FindStringSubmatch(a.AlarmDescription)
			if said == nil {
				t.Errorf("%s: %q is not a sentence, and where to read on", name, a.AlarmDescription)
				continue
			}
			if known[said[2]] == "" {
				t.Errorf("%s: the runbook has no section %s", name, said[2])
			}
			named[said[2]] = true
		}
	})
	for section, body := range known {
		if !named[section] {
			t.Errorf("section %s is for no alarm", section)
		}
		for _, part := range []string{"**Users.**", "**Look.**", "**Do.**", "**Do not**"} {
			if strings.Count(body, part) != 1 {
				t.Errorf("section %s: want one part %s", section, part)
			}
		}
	}
}

// A section begins with the names of its alarms, as they are in the system with one shard.
func TestSectionsNameTheirAlarms(t *testing.T) {
	known := sections(t)
	for name, a := range synth(t, "default").alarms {
		_, section, _ := strings.Cut(strings.TrimSuffix(a.AlarmDescription, "."), "#")
		if section == "function-errors" || section == "throttled-functions" { // of any function
			continue
		}
		opening, _, _ := strings.Cut(known[section], "**Users.**")
		if !strings.Contains(opening, "`"+name+"`") {
			t.Errorf("section %s does not name %s", section, name)
		}
	}
}

var (
	name   = regexp.MustCompile(`iops-dashboard(-[a-z0-9]+)*`)
	link   = regexp.MustCompile(`\]\(([^)]*)\)`)
	script = regexp.MustCompile("(?s)```bash\n(.*?)```")
)

// What the runbook names is there: a command on a queue that is called otherwise helps nobody at night.
func TestRunbookNamesWhatIsThere(t *testing.T) {
	s := synth(t, "default")
	known := map[string]bool{"iops-dashboard": true, "iops-dashboard-quarantine-beta": true} // the dashboard, and an example
	for alarm := range s.alarms {
		known[alarm] = true
	}
	for _, system := range []topology.Topology{s.system, synth(t, "fargate").system} {
		for _, x := range system.Tables {
			known[x.Name] = true
		}
		for _, x := range system.Topics {
			known[x.Name] = true
		}
		for _, x := range system.Queues {
			known[x.Name] = true
		}
		for _, x := range system.Stores {
			known[x.Name] = true
		}
		for _, x := range system.Functions {
			known[x.Name] = true
		}
		known[system.WebSocket.Name], known[system.HTTP.Name] = true, true
	}
	content, err := os.ReadFile(runbook)
	if err != nil {
		t.Fatal(err)
	}
	for _, named := range name.FindAllString(string(content), -1) {
		if !known[named] {
			t.Errorf("%s is not there", named)
		}
	}
	for _, to := range link.FindAllStringSubmatch(string(content), -1) {
		if anchor, ok := strings.CutPrefix(to[1], "#"); ok {
			if sections(t)[anchor] == "" {
				t.Errorf("there is no section %s", anchor)
			}
		} else if _, err := os.Stat("../../" + to[1]); err != nil {
			t.Error(err)
		}
	}
}

// What is to be pasted can be read by bash.
func TestRunbookCommandsCanBeRead(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Fatal(err) // as all scripts of ours need it
	}
	content, err := os.ReadFile(runbook)
	if err != nil {
		t.Fatal(err)
	}
	all := script.FindAllStringSubmatch(string(content), -1)
	for _, found := range all {
		command := exec.CommandContext(t.Context(), bash, "-n")
		command.Stdin = strings.NewReader(found[1])
		if out, err := command.CombinedOutput(); err != nil {
			t.Errorf("%v: %s\n%s", err, out, found[1])
		}
	}
	if len(all) < len(sections(t)) {
		t.Errorf("%d commands for %d sections", len(all), len(sections(t)))
	}
}
