package app_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Where the templates are thought to be deployed: the longest name of a Region, so that names made of it are at their
// longest.
const (
	account   = "111122223333"
	region    = "ap-southeast-1"
	suffix    = "amazonaws.com"
	siteHost  = "d111111abcdef8.cloudfront.net"
	streamTag = "2026-11-01T00:00:00.000"
)

// template is a CloudFormation template.
type template struct {
	Resources  map[string]*resource
	Outputs    map[string]output
	Parameters map[string]struct{ Type, Default string }
}

type resource struct {
	Type                                string
	Properties                          map[string]any
	DependsOn                           []string
	DeletionPolicy, UpdateReplacePolicy string

	stack, id string
}

type output struct {
	Value  any
	Export struct{ Name any }
}

// readTemplates reads those of a folder, by the names of their stacks.
func readTemplates(folder string) (map[string]template, error) {
	paths, err := filepath.Glob(filepath.Join(folder, "*.template.json"))
	if err != nil {
		return nil, err
	}
	if len(paths) == 0 {
		return nil, fmt.Errorf("%s: no templates", folder)
	}
	all := map[string]template{}
	for _, path := range paths {
		content, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		var t template
		decoder := json.NewDecoder(bytes.NewReader(content))
		decoder.UseNumber()
		if err := decoder.Decode(&t); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		name := strings.TrimSuffix(filepath.Base(path), ".template.json")
		for id, r := range t.Resources {
			r.stack, r.id = name, id
		}
		all[name] = t
	}
	return all, nil
}

// resolver works out the intrinsic functions of templates, so that names, ARNs and addresses are texts. An API's id is
// taken to be its name, and a role's name its logical id.
type resolver struct {
	templates map[string]template
	faults    []string
}

func (r *resolver) fault(stack, format string, args ...any) string {
	r.faults = append(r.faults, stack+": "+fmt.Sprintf(format, args...))
	return "?"
}

// value is v without intrinsic functions.
func (r *resolver) value(stack string, v any) any {
	switch v := v.(type) {
	case map[string]any:
		if len(v) == 1 {
			for name, argument := range v {
				if name == "Ref" || strings.HasPrefix(name, "Fn::") {
					return r.call(stack, name, argument)
				}
			}
		}
		all := map[string]any{}
		for key, x := range v {
			if x = r.value(stack, x); x != nil {
				all[key] = x
			}
		}
		return all
	case []any:
		var all []any
		for _, x := range v {
			if x = r.value(stack, x); x != nil {
				all = append(all, x)
			}
		}
		return all
	}
	return v
}

func (r *resolver) call(stack, name string, argument any) any {
	list, _ := argument.([]any)
	switch {
	case name == "Ref":
		return r.ref(stack, fmt.Sprint(argument))
	case name == "Fn::GetAtt" && len(list) == 2:
		return r.attribute(stack, fmt.Sprint(list[0]), r.text(stack, list[1]))
	case name == "Fn::Join" && len(list) == 2:
		var parts []string
		all, _ := r.value(stack, list[1]).([]any)
		for _, x := range all {
			parts = append(parts, r.text(stack, x))
		}
		return strings.Join(parts, r.text(stack, list[0]))
	case name == "Fn::Sub":
		return r.sub(stack, argument)
	case name == "Fn::ImportValue":
		return r.imported(stack, r.text(stack, argument))
	case name == "Fn::Split" && len(list) == 2:
		var all []any
		for part := range strings.SplitSeq(r.text(stack, list[1]), r.text(stack, list[0])) {
			all = append(all, part)
		}
		return all
	case name == "Fn::Select" && len(list) == 2:
		n, err := strconv.Atoi(r.text(stack, list[0]))
		all, _ := r.value(stack, list[1]).([]any)
		if err == nil && n < len(all) {
			return all[n]
		}
	case name == "Fn::GetAZs":
		return []any{region + "a", region + "b", region + "c"}
	}
	return r.fault(stack, "cannot work out %s of %v", name, argument)
}

// text is a value that is no list and no object.
func (r *resolver) text(stack string, v any) string {
	switch v := r.value(stack, v).(type) {
	case string, json.Number, bool:
		return fmt.Sprint(v)
	default:
		return r.fault(stack, "%v is not a text", v)
	}
}

var variable = regexp.MustCompile(`\$\{(!?)([^}]+)\}`)

func (r *resolver) sub(stack string, argument any) string {
	given := map[string]any{}
	if list, ok := argument.([]any); ok && len(list) == 2 {
		argument, given = list[0], list[1].(map[string]any)
	}
	return variable.ReplaceAllStringFunc(fmt.Sprint(argument), func(found string) string {
		part := variable.FindStringSubmatch(found)
		id, attribute, ok := strings.Cut(part[2], ".")
		switch {
		case part[1] != "":
			return "${" + part[2] + "}"
		case given[part[2]] != nil:
			return r.text(stack, given[part[2]])
		case ok:
			return r.attribute(stack, id, attribute)
		}
		return r.text(stack, map[string]any{"Ref": id})
	})
}

// imported is what another stack exports.
func (r *resolver) imported(stack, name string) string {
	for _, other := range slices.Sorted(maps.Keys(r.templates)) {
		for _, o := range r.templates[other].Outputs {
			if o.Export.Name != nil && r.text(other, o.Export.Name) == name {
				return r.text(other, o.Value)
			}
		}
	}
	return r.fault(stack, "imports %s, which no stack exports", name)
}

func arn(service, what string) string {
	return "arn:aws:" + service + ":" + region + ":" + account + ":" + what
}

func queueURL(name string) string {
	return "https://sqs." + region + "." + suffix + "/" + account + "/" + name
}

func apiURL(id string) string { return "https://" + id + ".execute-api." + region + "." + suffix }

// nameOf has the property that names a resource, by its type.
var nameOf = map[string]string{
	"AWS::SQS::Queue": "QueueName", "AWS::SNS::Topic": "TopicName", "AWS::DynamoDB::Table": "TableName",
	"AWS::Lambda::Function": "FunctionName", "AWS::S3::Bucket": "BucketName", "AWS::Logs::LogGroup": "LogGroupName",
	"AWS::ApiGatewayV2::Api": "Name", "AWS::ECS::Service": "ServiceName", "AWS::ECS::Cluster": "ClusterName",
	"AWS::IAM::Role": "RoleName", "AWS::CloudWatch::Alarm": "AlarmName", "AWS::Cognito::UserPoolDomain": "Domain",
}

func (r *resolver) named(stack, id string) (kind, name string) {
	x := r.templates[stack].Resources[id]
	if x == nil {
		return "", r.fault(stack, "there is no %s", id)
	}
	if p := x.Properties[nameOf[x.Type]]; p != nil {
		return x.Type, r.text(stack, p)
	}
	return x.Type, id
}

func (r *resolver) ref(stack, id string) any {
	switch id {
	case "AWS::AccountId":
		return account
	case "AWS::Region":
		return region
	case "AWS::Partition":
		return "aws"
	case "AWS::URLSuffix":
		return suffix
	case "AWS::StackName":
		return stack
	case "AWS::StackId":
		return arn("cloudformation", "stack/"+stack)
	case "AWS::NoValue":
		return nil
	}
	if p, ok := r.templates[stack].Parameters[id]; ok {
		return p.Default
	}
	switch kind, name := r.named(stack, id); kind {
	case "AWS::SQS::Queue":
		return queueURL(name)
	case "AWS::SNS::Topic":
		return arn("sns", name)
	default:
		return name
	}
}

func (r *resolver) attribute(stack, id, attribute string) string {
	kind, name := r.named(stack, id)
	switch kind + "." + attribute {
	case "AWS::SQS::Queue.Arn":
		return arn("sqs", name)
	case "AWS::SNS::Topic.TopicArn":
		return arn("sns", name)
	case "AWS::DynamoDB::Table.Arn":
		return arn("dynamodb", "table/"+name)
	case "AWS::DynamoDB::Table.StreamArn":
		return arn("dynamodb", "table/"+name+"/stream/"+streamTag)
	case "AWS::Lambda::Function.Arn":
		return arn("lambda", "function:"+name)
	case "AWS::S3::Bucket.Arn":
		return "arn:aws:s3:::" + name
	case "AWS::IAM::Role.Arn":
		return "arn:aws:iam::" + account + ":role/" + name
	case "AWS::Logs::LogGroup.Arn":
		return arn("logs", "log-group:"+name+":*")
	case "AWS::Events::Rule.Arn":
		return arn("events", "rule/"+name)
	case "AWS::ApiGatewayV2::Api.ApiEndpoint":
		return apiURL(name)
	case "AWS::Cognito::UserPool.ProviderURL":
		return "https://cognito-idp." + region + "." + suffix + "/" + name
	case "AWS::CloudFront::Distribution.DomainName":
		return siteHost
	case "AWS::SQS::Queue.QueueName", "AWS::SNS::Topic.TopicName", "AWS::ECS::Service.Name":
		return name
	}
	return name + "." + attribute
}

// resolve returns the resources of all stacks, resolved, in an order that stays, and what could not be resolved.
func (c *cloud) resolve() (all []*resource, faults []string) {
	if c.resolved != nil {
		return c.resolved, c.faults
	}
	r := resolver{templates: c.templates}
	for _, stack := range slices.Sorted(maps.Keys(c.templates)) {
		for _, id := range slices.Sorted(maps.Keys(c.templates[stack].Resources)) {
			x := *c.templates[stack].Resources[id]
			x.Properties, _ = r.value(stack, x.Properties).(map[string]any)
			c.resolved = append(c.resolved, &x)
		}
	}
	c.faults = r.faults
	return c.resolved, c.faults
}

// of lists the resources of a type, resolved.
func (c *cloud) of(kind string) []*resource {
	all, _ := c.resolve()
	var some []*resource
	for _, x := range all {
		if x.Type == kind {
			some = append(some, x)
		}
	}
	return some
}

// outputs are those of a stack, resolved, with their names for other stacks.
func (c *cloud) outputs(stack string) (values, exports map[string]string) {
	r := resolver{templates: c.templates}
	values, exports = map[string]string{}, map[string]string{}
	for name, o := range c.templates[stack].Outputs {
		values[name] = r.text(stack, o.Value)
		if o.Export.Name != nil {
			exports[r.text(stack, o.Export.Name)] = values[name]
		}
	}
	return values, exports
}

// String is how faults name a resource.
func (x *resource) String() string {
	if p, ok := x.Properties[nameOf[x.Type]].(string); ok {
		return p
	}
	return x.stack + "/" + x.id
}

// at is what a property holds, or nil. A number in the path is a place in a list.
func (x *resource) at(path ...string) any { return at(x.Properties, path...) }

func at(v any, path ...string) any {
	for _, step := range path {
		switch in := v.(type) {
		case map[string]any:
			v = in[step]
		case []any:
			n, err := strconv.Atoi(step)
			if err != nil || n >= len(in) {
				return nil
			}
			v = in[n]
		default:
			return nil
		}
	}
	return v
}

// text is a property as a text, empty if it is not there.
func (x *resource) text(path ...string) string { return text(x.at(path...)) }

func text(v any) string {
	if v == nil {
		return ""
	}
	return fmt.Sprint(v)
}

// list is a property that may have one value or several.
func (x *resource) list(path ...string) []any { return list(x.at(path...)) }

func list(v any) []any {
	switch v := v.(type) {
	case nil:
		return nil
	case []any:
		return v
	default:
		return []any{v}
	}
}

func texts(v any) []string {
	var all []string
	for _, x := range list(v) {
		all = append(all, text(x))
	}
	return all
}

// number is a property, 0 if it is not there.
func (x *resource) number(path ...string) int {
	n, _ := strconv.Atoi(x.text(path...))
	return n
}

func (x *resource) seconds(path ...string) time.Duration {
	return time.Duration(x.number(path...)) * time.Second
}

// last is the part of an ARN that names the resource.
func last(arn string) string { return arn[strings.LastIndexAny(arn, ":/")+1:] }
