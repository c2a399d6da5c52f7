// Package site is IOpsDashboard-SiteStack: the built dashboard in a private bucket, and CloudFront in front of it, which
// answers as infra/local does.
//
// The stack has no files: scripts/deploy puts them into the bucket, the assets first, config.json and index.html last.
// What may be cached is said here, not by them.
package site

import (
	_ "embed" // the code of the functions
	"net/url"
	"slices"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awscloudfront"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awss3"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"

	"github.com/iops-dashboard/live/infra/cdk/setting"
	"github.com/iops-dashboard/live/infra/topology"
)

// Props are what the stack is made of.
type Props struct {
	awscdk.StackProps
	Settings setting.Settings
}

// Stack has the site.
type Stack struct {
	awscdk.Stack
	settings     setting.Settings
	logs, files  awss3.Bucket
	distribution awscloudfront.CfnDistribution
}

// New returns the stack.
func New(scope constructs.Construct, name string, props Props) *Stack {
	props.Description = jsii.String("IOps Dashboard: the page")
	s := &Stack{settings: props.Settings}
	awscdk.NewStack_Override(s, scope, &name, &props.StackProps)
	s.addLogs()
	s.addFiles()
	s.addDistribution()
	s.permitReading()
	s.output("SiteURL", "where the dashboard is", s.URL())
	s.output("SiteBucket", "where its files belong", s.files.BucketName())
	s.output("DistributionId", "what brings them to the browsers", s.distribution.Ref())
	return s
}

// URL is the site's origin: https, and no slash at its end.
func (s *Stack) URL() *string { return jsii.String("https://" + *s.distribution.AttrDomainName()) }

func (s *Stack) output(name, text string, value *string) {
	awscdk.NewCfnOutput(s, &name, &awscdk.CfnOutputProps{Value: value, Description: &text})
}

// filesName is the bucket's name, so that its ARN is known before it is there: as no other bucket of anybody's, and with
// the longest stage and Region no longer than S3 allows, 63.
func (s *Stack) filesName() string {
	return s.settings.Named("iops-dashboard-site") + "-" + *s.Account() + "-" + *s.Region()
}

// logRetention is how many days an access log is kept, as long as those of functions.
const logRetention = 30

// addLogs makes the bucket for the access logs of the files and of the distribution. It stays when the stack goes, since
// lines still come then; each is deleted in its time.
//
// A line of the distribution's has the query. The page that comes back from signing in has a code there: it is used up
// before its line is written, and was never worth anything without the verifier that the page keeps to itself.
func (s *Stack) addLogs() {
	s.logs = awss3.NewBucket(s, jsii.String("logs"), &awss3.BucketProps{
		EnforceSSL: jsii.Bool(true), MinimumTLSVersion: jsii.Number(1.2),
		Encryption: awss3.BucketEncryption_S3_MANAGED, BlockPublicAccess: awss3.BlockPublicAccess_BLOCK_ALL(),
		// CloudFront wants a bucket with access control lists, and adds itself to it.
		ObjectOwnership: awss3.ObjectOwnership_BUCKET_OWNER_PREFERRED,
		LifecycleRules: &[]*awss3.LifecycleRule{{
			Expiration: awscdk.Duration_Days(jsii.Number(logRetention)), AbortIncompleteMultipartUploadAfter: awscdk.Duration_Days(jsii.Number(1)),
		}},
		RemovalPolicy: awscdk.RemovalPolicy_RETAIN,
	})
	s.logs.AddToResourcePolicy(awsiam.NewPolicyStatement(&awsiam.PolicyStatementProps{
		Principals: &[]awsiam.IPrincipal{awsiam.NewServicePrincipal(jsii.String("logging.s3.amazonaws.com"), nil)},
		Actions:    jsii.Strings("s3:PutObject"),
		Resources:  &[]*string{s.logs.ArnForObjects(jsii.String("files/*"))},
		Conditions: &map[string]any{
			"ArnEquals":    map[string]any{"aws:SourceArn": "arn:" + *s.Partition() + ":s3:::" + s.filesName()},
			"StringEquals": map[string]any{"aws:SourceAccount": s.Account()},
		},
	}))
}

// addFiles makes the bucket of the site. All that is in it can be built again, so it goes with the stack; CloudFormation
// deletes no bucket with files, which is what scripts/deploy --destroy empties it for, of old versions, too.
func (s *Stack) addFiles() {
	s.files = awss3.NewBucket(s, jsii.String("files"), &awss3.BucketProps{
		BucketName: jsii.String(s.filesName()), EnforceSSL: jsii.Bool(true), MinimumTLSVersion: jsii.Number(1.2),
		Encryption: awss3.BucketEncryption_S3_MANAGED, BlockPublicAccess: awss3.BlockPublicAccess_BLOCK_ALL(),
		ObjectOwnership: awss3.ObjectOwnership_BUCKET_OWNER_ENFORCED, Versioned: jsii.Bool(true),
		LifecycleRules: &[]*awss3.LifecycleRule{{
			NoncurrentVersionExpiration:         awscdk.Duration_Days(jsii.Number(logRetention)),
			AbortIncompleteMultipartUploadAfter: awscdk.Duration_Days(jsii.Number(1)),
		}},
		RemovalPolicy: awscdk.RemovalPolicy_DESTROY,
	})
	s.files.Node().DefaultChild().(awss3.CfnBucket).SetLoggingConfiguration(&awss3.CfnBucket_LoggingConfigurationProperty{
		DestinationBucketName: s.logs.BucketName(), LogFilePrefix: jsii.String("files/"),
	})
	s.files.Node().AddDependency(s.logs) // and its policy: S3 tries whether it may write there
}

// permitReading lets the distribution, and nobody else, read the files. It may list them only so that S3 tells what is
// missing from what is forbidden; no request asks for the list.
func (s *Stack) permitReading() {
	arn := s.FormatArn(&awscdk.ArnComponents{
		Service: jsii.String("cloudfront"), Region: jsii.String(""), Resource: jsii.String("distribution"), ResourceName: s.distribution.Ref(),
	})
	permit := func(action string, on *string) {
		s.files.AddToResourcePolicy(awsiam.NewPolicyStatement(&awsiam.PolicyStatementProps{
			Principals: &[]awsiam.IPrincipal{awsiam.NewServicePrincipal(jsii.String("cloudfront.amazonaws.com"), nil)},
			Actions:    jsii.Strings(action), Resources: &[]*string{on},
			Conditions: &map[string]any{"StringEquals": map[string]any{"aws:SourceArn": arn}},
		}))
	}
	permit("s3:GetObject", s.files.ArnForObjects(jsii.String("*")))
	permit("s3:ListBucket", s.files.BucketArn())
}

//go:embed page.js
var pageCode string

//go:embed cache.js
var cacheCode string

// addDistribution brings the files to the browsers. It has an address of CloudFront's, whose certificate's oldest TLS is
// CloudFront's choice.
func (s *Stack) addDistribution() {
	const origin = "files"
	control := awscloudfront.NewCfnOriginAccessControl(s, jsii.String("access"), &awscloudfront.CfnOriginAccessControlProps{
		OriginAccessControlConfig: &awscloudfront.CfnOriginAccessControl_OriginAccessControlConfigProperty{
			Name: s.global("iops-dashboard-site"), OriginAccessControlOriginType: jsii.String("s3"),
			SigningBehavior: jsii.String("always"), SigningProtocol: jsii.String("sigv4"),
		},
	})
	headers := s.headers().AttrId()
	page := s.function("viewer-request", "page", pageCode)
	cache := s.function("viewer-response", "cache", cacheCode)
	methods := jsii.Strings("GET", "HEAD")
	https := jsii.String("redirect-to-https")
	s.distribution = awscloudfront.NewCfnDistribution(s, jsii.String("distribution"), &awscloudfront.CfnDistributionProps{
		DistributionConfig: &awscloudfront.CfnDistribution_DistributionConfigProperty{
			Comment: jsii.String(s.settings.Named("IOps Dashboard")), Enabled: true, DefaultRootObject: jsii.String("index.html"),
			HttpVersion: jsii.String("http2and3"), Ipv6Enabled: true,
			Origins: []any{&awscloudfront.CfnDistribution_OriginProperty{
				Id: jsii.String(origin), DomainName: s.files.BucketRegionalDomainName(), OriginAccessControlId: control.AttrId(),
				S3OriginConfig: &awscloudfront.CfnDistribution_S3OriginConfigProperty{OriginAccessIdentity: jsii.String("")},
			}},
			// The page and its configuration are small, and always the newest.
			DefaultCacheBehavior: &awscloudfront.CfnDistribution_DefaultCacheBehaviorProperty{
				TargetOriginId: jsii.String(origin), ViewerProtocolPolicy: https, AllowedMethods: methods, CachedMethods: methods, Compress: true,
				CachePolicyId:           awscloudfront.CachePolicy_CACHING_DISABLED().CachePolicyId(),
				ResponseHeadersPolicyId: headers, FunctionAssociations: []any{page, cache},
			},
			CacheBehaviors: []any{&awscloudfront.CfnDistribution_CacheBehaviorProperty{
				PathPattern:    jsii.String("/assets/*"),
				TargetOriginId: jsii.String(origin), ViewerProtocolPolicy: https, AllowedMethods: methods, CachedMethods: methods, Compress: true,
				CachePolicyId:           awscloudfront.CachePolicy_CACHING_OPTIMIZED().CachePolicyId(),
				ResponseHeadersPolicyId: headers, FunctionAssociations: []any{cache},
			}},
			// What is missing now may be there in a moment.
			CustomErrorResponses: []any{
				&awscloudfront.CfnDistribution_CustomErrorResponseProperty{ErrorCode: jsii.Number(403), ErrorCachingMinTtl: jsii.Number(0)},
				&awscloudfront.CfnDistribution_CustomErrorResponseProperty{ErrorCode: jsii.Number(404), ErrorCachingMinTtl: jsii.Number(0)},
			},
			Logging: &awscloudfront.CfnDistribution_LoggingProperty{
				Bucket: s.logs.BucketRegionalDomainName(), Prefix: jsii.String("distribution/"), IncludeCookies: false,
			},
		},
	})
}

// global is a name for what belongs to the account, wherever it is made from.
func (s *Stack) global(name string) *string {
	return jsii.String(s.settings.Named(name) + "-" + *s.Region())
}

// function makes a function of CloudFront, to be run at an event.
func (s *Stack) function(event, name, code string) *awscloudfront.CfnDistribution_FunctionAssociationProperty {
	made := awscloudfront.NewCfnFunction(s, jsii.String("function-"+name), &awscloudfront.CfnFunctionProps{
		Name: s.global("iops-dashboard-" + name), AutoPublish: true, FunctionCode: &code,
		FunctionConfig: &awscloudfront.CfnFunction_FunctionConfigProperty{
			Comment: jsii.String("infra/cdk/site/" + name + ".js"), Runtime: jsii.String("cloudfront-js-2.0"),
		},
	})
	return &awscloudfront.CfnDistribution_FunctionAssociationProperty{EventType: &event, FunctionArn: made.AttrFunctionArn()}
}

// headers are what every answer tells the browser, errors included.
func (s *Stack) headers() awscloudfront.CfnResponseHeadersPolicy {
	const year = 365 * 24 * 60 * 60
	return awscloudfront.NewCfnResponseHeadersPolicy(s, jsii.String("headers"), &awscloudfront.CfnResponseHeadersPolicyProps{
		ResponseHeadersPolicyConfig: &awscloudfront.CfnResponseHeadersPolicy_ResponseHeadersPolicyConfigProperty{
			Name: s.global("iops-dashboard-site"),
			SecurityHeadersConfig: &awscloudfront.CfnResponseHeadersPolicy_SecurityHeadersConfigProperty{
				ContentSecurityPolicy: &awscloudfront.CfnResponseHeadersPolicy_ContentSecurityPolicyProperty{
					ContentSecurityPolicy: jsii.String(topology.PagePolicy(s.sources())), Override: true,
				},
				ContentTypeOptions: &awscloudfront.CfnResponseHeadersPolicy_ContentTypeOptionsProperty{Override: true},
				ReferrerPolicy: &awscloudfront.CfnResponseHeadersPolicy_ReferrerPolicyProperty{
					ReferrerPolicy: jsii.String("no-referrer"), Override: true,
				},
				StrictTransportSecurity: &awscloudfront.CfnResponseHeadersPolicy_StrictTransportSecurityProperty{
					AccessControlMaxAgeSec: jsii.Number(year), Override: true,
				},
			},
			CustomHeadersConfig: &awscloudfront.CfnResponseHeadersPolicy_CustomHeadersConfigProperty{
				Items: []any{&awscloudfront.CfnResponseHeadersPolicy_CustomHeaderProperty{
					Header: jsii.String("Permissions-Policy"), Override: true,
					Value: jsii.String("camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()"),
				}},
			},
		},
	})
}

// sources are the origins of the servers that the page talks to: the APIs, and who signs people in.
func (s *Stack) sources() []string {
	apis := s.settings.Connect
	if len(apis) == 0 {
		// The APIs let in only pages of this site, so they come after it, and their ids are not known here.
		host := "*.execute-api." + *s.Region() + "." + *s.UrlSuffix()
		apis = []string{"https://" + host, "wss://" + host}
	}
	return slices.Concat(apis, s.issuer())
}

// issuer are the origins of who signs people in, if anybody has to sign in: of a user pool, where its tokens' keys are
// found, and where they are given.
func (s *Stack) issuer() []string {
	if s.settings.Auth == topology.AuthOpen {
		return nil
	}
	if u, err := url.Parse(s.settings.Issuer); err == nil && u.Host != "" {
		return []string{u.Scheme + "://" + u.Host}
	}
	return []string{
		"https://cognito-idp." + *s.Region() + ".amazonaws.com",
		"https://" + s.settings.SignInPrefix(*s.Account()) + ".auth." + *s.Region() + ".amazoncognito.com",
	}
}
