// A certified OpenID Connect provider (npm oidc-provider) in which everybody of example.org may sign in.
// Arguments: its port, the origin of the site, and which claims an ID token has: "few" (OpenID Connect Core 5.4), "all".
import { Provider } from "oidc-provider";

const [port, site, claims] = process.argv.slice(2);
const groups = { ann: ["mail-admins"], bob: ["staff"] };

const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: [{
    client_id: "postroad",
    client_secret: "s3cret of 100 % : strange signs",
    grant_types: ["authorization_code"],
    response_types: ["code"],
    redirect_uris: [`${site}/sign-in/with/firm/back`],
    post_logout_redirect_uris: [`${site}/sign-in`],
    backchannel_logout_uri: `${site}/sign-out/by/firm`,
    backchannel_logout_session_required: true,
  }],
  scopes: ["openid", "email", "groups"],
  claims: { openid: ["sub"], email: ["email", "email_verified"], groups: ["groups"] },
  conformIdTokenClaims: claims === "few",
  features: { backchannelLogout: { enabled: true }, devInteractions: { enabled: true } },
  fetch: (address, options) => globalThis.fetch(address, { ...options, dispatcher: undefined, signal: undefined }), // loopback too
  findAccount: (_, name) => ({
    accountId: name,
    claims: () => ({
      sub: name, email: `${name}@example.org`, email_verified: name !== "mallory", groups: groups[name] ?? [],
    }),
  }),
});
provider.on("server_error", (_, error) => console.error("server_error", error));
provider.on("backchannel.error", (_, error) => console.error("backchannel.error", error));
provider.listen(Number(port), "127.0.0.1", () => console.log("ready"));
