// An OpenID Connect issuer for tests/it/oidc.rs. Its settings are one JSON object on standard input:
//   { port, certificate, key, clients: [{ id, secret, groups }] }
// Every start makes new keys, one of each kind, so that starting it again is a rotation. A client gets a token for
// the resource urn:AUDIENCE:ALG, for that audience and signed with ALG. It says "ready" once it listens.

import { generateKeyPairSync } from 'node:crypto';
import { createServer } from 'node:https';
import { text } from 'node:stream/consumers';

import Provider from 'oidc-provider';

const settings = JSON.parse(await text(process.stdin));
const issuer = `https://localhost:${settings.port}`;
const groups = new Map(settings.clients.map((client) => [client.id, client.groups]));

const jwk = (alg, kind, options) => ({
  ...generateKeyPairSync(kind, options).privateKey.export({ format: 'jwk' }),
  use: 'sig',
  alg,
});
const keys = [
  jwk('RS256', 'rsa', { modulusLength: 2048 }),
  jwk('PS256', 'rsa', { modulusLength: 2048 }),
  jwk('ES256', 'ec', { namedCurve: 'P-256' }),
  jwk('EdDSA', 'ed25519'),
];

const provider = new Provider(issuer, {
  jwks: { keys },
  clients: settings.clients.map((client) => ({
    client_id: client.id,
    client_secret: client.secret,
    grant_types: ['client_credentials'],
    redirect_uris: [],
    response_types: [],
  })),
  enabledJWA: { idTokenSigningAlgValues: keys.map((key) => key.alg) },
  extraTokenClaims: (_context, token) => ({ groups: groups.get(token.clientId) }),
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo: (_context, resource) => {
        const [, audience, alg] = resource.split(':');
        const jwt = { sign: { alg } };
        return { audience, scope: '', accessTokenFormat: 'jwt', accessTokenTTL: 600, jwt };
      },
    },
  },
});

createServer({ cert: settings.certificate, key: settings.key }, provider.callback()).listen(
  settings.port,
  '127.0.0.1',
  () => console.log('ready'),
);
