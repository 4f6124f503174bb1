// Passkeys as the cloud's API speaks of them (WebAuthn Level 3, 5.1.8), also where browsers lack the JSON forms.
const API = "/api/v1";

export const supported = () => window.isSecureContext && "PublicKeyCredential" in window;

const bytes = (text) => {
  const plain = atob(text.replace(/-/g, "+").replace(/_/g, "/"));
  return Uint8Array.from(plain, (character) => character.charCodeAt(0));
};

const text = (buffer) =>
  btoa(String.fromCharCode(...new Uint8Array(buffer))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");

const known = (rows) => (rows || []).map((row) => ({ ...row, id: bytes(row.id) }));

const answer = (credential, response) => ({
  id: credential.id,
  rawId: text(credential.rawId),
  type: credential.type,
  response: { clientDataJSON: text(credential.response.clientDataJSON), ...response },
});

export class Refused extends Error {
  constructor(problem, status) {
    super(problem.detail || `The cloud answered ${status}.`);
    this.code = problem.code || "";
    this.methods = (problem.errors || []).map((row) => row.method);
  }
}

export async function ask(method, path, body, token, more = {}) {
  const headers = { "Content-Type": "application/json", ...(token ? { Authorization: `Bearer ${token}` } : {}) };
  const sent = body === undefined ? undefined : JSON.stringify(body);
  const reply = await fetch(API + path, { method, headers, body: sent, ...more });
  const said = await reply.text();
  let found = {};
  try {
    found = said ? JSON.parse(said) : {};
  } catch {
    // What a proxy says is no JSON; its status is what there is to tell.
  }
  if (!reply.ok) throw new Refused(found, reply.status);
  return found;
}

export async function prove() {
  const { public_key: options } = await ask("POST", "/auth/passkey/options");
  const wanted = {
    ...options,
    challenge: bytes(options.challenge),
    allowCredentials: known(options.allowCredentials),
  };
  const credential = await navigator.credentials.get({ publicKey: wanted });
  const { authenticatorData, signature, userHandle } = credential.response;
  return answer(credential, {
    authenticatorData: text(authenticatorData),
    signature: text(signature),
    userHandle: userHandle ? text(userHandle) : null,
  });
}

export async function create(options) {
  const wanted = {
    ...options,
    challenge: bytes(options.challenge),
    user: { ...options.user, id: bytes(options.user.id) },
    excludeCredentials: known(options.excludeCredentials),
  };
  const credential = await navigator.credentials.create({ publicKey: wanted });
  const { attestationObject } = credential.response;
  const transports = credential.response.getTransports ? credential.response.getTransports() : [];
  return answer(credential, { attestationObject: text(attestationObject), transports });
}

export function words(error) {
  if (error instanceof Refused) return error.message;
  if (error.name === "NotAllowedError") return "The passkey was not used: it was cancelled, or took too long.";
  if (error.name === "InvalidStateError") return "This device has a passkey of yours already.";
  if (error.name === "SecurityError") return "Browsers make passkeys for this cloud at its public address only.";
  return `That did not work: ${error.message || error}`;
}
