package experience

import (
	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awscognito"
	"github.com/aws/jsii-runtime-go"

	"github.com/iops-dashboard/live/infra/topology"
)

// addUsers finds who signs the tokens of users, where they are asked for one: the issuer that was named, or a user pool.
// Nobody signs up by themselves, and nobody can change what their token says of their tenant: the page's client may not
// write those attributes.
func (s *Stack) addUsers() {
	if s.system.HTTP.JWT == (topology.JWT{}) {
		return
	}
	if c := s.props.Settings; c.Issuer != "" {
		s.issuer, s.audience = &c.Issuer, &c.Audience
		return
	}
	name := s.props.Settings.Named("iops-dashboard-users")
	pool := awscognito.NewUserPool(s, &name, &awscognito.UserPoolProps{
		UserPoolName: &name, SelfSignUpEnabled: jsii.Bool(false), SignInAliases: &awscognito.SignInAliases{Email: jsii.Bool(true)},
		AccountRecovery: awscognito.AccountRecovery_EMAIL_ONLY,
		PasswordPolicy: &awscognito.PasswordPolicy{
			MinLength: jsii.Number(12), RequireDigits: jsii.Bool(true), RequireLowercase: jsii.Bool(true),
			RequireUppercase: jsii.Bool(true), RequireSymbols: jsii.Bool(true), TempPasswordValidity: awscdk.Duration_Days(jsii.Number(3)),
		},
		Mfa: awscognito.Mfa_OPTIONAL, MfaSecondFactor: &awscognito.MfaSecondFactor{Otp: jsii.Bool(true), Sms: jsii.Bool(false)},
		CustomAttributes: &map[string]awscognito.ICustomAttribute{
			"tenant":       text(256),
			"entity_types": text(1024),
			"service":      text(5),
		},
		DeletionProtection: jsii.Bool(true), RemovalPolicy: awscdk.RemovalPolicy_RETAIN,
	})
	page := jsii.String(*s.props.SiteURL + "/")
	mine := awscognito.NewClientAttributes()
	client := pool.AddClient(jsii.String("page"), &awscognito.UserPoolClientOptions{
		UserPoolClientName: jsii.String("page"), GenerateSecret: jsii.Bool(false), PreventUserExistenceErrors: jsii.Bool(true),
		EnableTokenRevocation: jsii.Bool(true), IdTokenValidity: awscdk.Duration_Hours(jsii.Number(1)), AccessTokenValidity: awscdk.Duration_Hours(jsii.Number(1)),
		RefreshTokenValidity: awscdk.Duration_Days(jsii.Number(30)),
		OAuth: &awscognito.OAuthSettings{
			Flows: &awscognito.OAuthFlows{AuthorizationCodeGrant: jsii.Bool(true)}, Scopes: &[]awscognito.OAuthScope{awscognito.OAuthScope_OPENID()},
			CallbackUrls: &[]*string{page}, LogoutUrls: &[]*string{page},
		},
		ReadAttributes: mine.WithStandardAttributes(&awscognito.StandardAttributesMask{Email: jsii.Bool(true)}).
			WithCustomAttributes(jsii.String("tenant"), jsii.String("entity_types"), jsii.String("service")),
		WriteAttributes: mine.WithStandardAttributes(&awscognito.StandardAttributesMask{Email: jsii.Bool(true)}),
	})
	domain := pool.AddDomain(jsii.String("sign-in"), &awscognito.UserPoolDomainOptions{
		CognitoDomain: &awscognito.CognitoDomainOptions{DomainPrefix: jsii.String(s.props.Settings.SignInPrefix(*s.Account()))},
	})
	s.issuer, s.audience, s.signIn = pool.UserPoolProviderUrl(), client.UserPoolClientId(), domain.BaseUrl(nil)
}

// text is an attribute of a user that an administrator can change.
func text(most float64) awscognito.ICustomAttribute {
	return awscognito.NewStringAttribute(&awscognito.StringAttributeProps{MaxLen: &most, Mutable: jsii.Bool(true)})
}
