//! Why an external token does not count, and why an issuer's keys cannot be had.

use super::config::ClaimPath;

/// Why a token does not count. For the log: nothing of the token is in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OidcError {
    /// It is not built as a JWT is.
    #[error("the token is no JWT: {0}")]
    Malformed(&'static str),
    /// No `[[oidc]]` of the configuration has its issuer.
    #[error("no [[oidc]] of the configuration has the token's issuer")]
    UnknownIssuer,
    /// It is some other kind of token.
    #[error("the token's typ is neither JWT nor at+jwt")]
    Type,
    /// It is signed in a way that the configuration does not allow.
    #[error("the token's alg is not one of this issuer's algorithms")]
    Algorithm,
    /// The issuer has no such key for this algorithm.
    #[error("the issuer has no key of the token's kid for its alg")]
    UnknownKey,
    /// The issuer's keys cannot be had; nothing is said about the token.
    #[error("the issuer does not answer, and its keys are not known or too old")]
    Away,
    /// The signature is not the key's.
    #[error("the token's signature is wrong")]
    Signature,
    /// A claim that is needed is not there, or not of its type.
    #[error("the token's {0} is missing or malformed")]
    Claim(&'static str),
    /// It is for somebody else.
    #[error("the token's aud does not have this issuer's audience")]
    Audience,
    /// It is for several audiences, and was given to a client that is not known.
    #[error(
        "the token has several audiences, and its azp is neither the audience nor one of authorized_parties"
    )]
    AuthorizedParty,
    /// It is over.
    #[error("the token has expired")]
    Expired,
    /// It has not begun.
    #[error("the token is not valid yet")]
    NotYet,
    /// It was made in the future.
    #[error("the token's iat is in the future: compare the issuer's clock and the KDC's")]
    Future,
    /// It lasts too long.
    #[error("the token lasts longer than 24 hours: let the issuer make shorter ones")]
    TooLong,
    /// It names nobody.
    #[error("the claim {0} names nobody: it must be a text of 1 to 255 characters")]
    Subject(ClaimPath),
    /// The claim of roles is not there, or is no text and no list of texts.
    #[error("the claim {0} is missing, or neither a text nor a list of texts")]
    NoRoles(ClaimPath),
    /// It gives no role.
    #[error("no value of the claim {0} is one of this issuer's roles")]
    Role(ClaimPath),
}

/// Why the issuers of the configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum IssuersError {
    /// The issuer is no URL.
    #[error("oidc: the issuer {0} is no https URL")]
    Issuer(String),
    /// The file of root certificates cannot be read.
    #[error("oidc: cannot read the roots in {path}: {source}")]
    Read {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// There is no certificate in the file.
    #[error("oidc: {path} does not hold root certificates in PEM")]
    Roots {
        /// The file.
        path: String,
    },
    /// The system has no root certificates.
    #[error(
        "oidc: this system has no root certificates; install them (Debian: ca-certificates), or name a PEM file in roots"
    )]
    NoRoots,
    /// There is no client.
    #[error("oidc: cannot set up TLS towards the issuer")]
    Tls(#[from] rustls::Error),
    /// There is no client.
    #[error("oidc: cannot make a client for the issuer")]
    Client(#[from] reqwest::Error),
}

/// Why an issuer's keys were not fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// There is no answer.
    #[error("no answer")]
    Request(#[from] reqwest::Error),
    /// It took too long.
    #[error("no answer in time")]
    Late,
    /// The answer is no success.
    #[error("the answer to {url} has the status {status}")]
    Status {
        /// What was asked for.
        url: String,
        /// The status.
        status: u16,
    },
    /// The answer is too large.
    #[error("the answer to {url} is larger than 1 MiB")]
    TooLarge {
        /// What was asked for.
        url: String,
    },
    /// The discovery document cannot be read.
    #[error("the discovery document is not what OpenID Connect Discovery says")]
    Discovery,
    /// The discovery document is another issuer's.
    #[error(
        "the discovery document is of another issuer; the configuration must have it exactly as it stands there"
    )]
    OtherIssuer,
    /// The keys are not behind TLS.
    #[error("the jwks_uri is no https URL")]
    KeysUrl,
    /// The key set cannot be read.
    #[error("the key set is no JSON Web Key Set")]
    Keys,
}
