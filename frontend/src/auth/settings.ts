/** Who signs people in. */
export interface SignInSettings {
  /** An OpenID Connect issuer, as its tokens name it: `/.well-known/openid-configuration` is below it. */
  readonly issuer: string;
  /** Of a public client with PKCE. The page's own URL, with a slash at its end, is its redirect URI. */
  readonly clientId: string;
  /**
   * With spaces between; `openid` unless given. Some issuers give a refresh token only with `offline_access`:
   * without one, people have to sign in again whenever a token has expired.
   */
  readonly scope?: string;
  /**
   * Which token the API gets: the one that names the tenant, and whose `aud`, or `client_id`, is the audience
   * of the API's authorizer. `id` unless given.
   *
   * In Cognito that is the ID token, with `custom:tenant`. Its access tokens have no attributes of the user, unless
   * a trigger before token generation, of version 2 or later, adds them: then choose `access`, as with issuers that
   * give access tokens for an audience of their own.
   */
  readonly use?: TokenKind;
}

export type TokenKind = "id" | "access";

/** How long the issuer may take to answer, in milliseconds. */
export const patience = 10_000;
