// One's passkeys: a small client of the API. The token is in this page's memory alone, and ends with the page.
import { ask, create, prove, supported, words } from "./webauthn.js";

const at = (id) => document.getElementById(id);
let token = null;

function tell(message) {
  at("problem").textContent = message;
  at("problem").hidden = !message;
}

// One thing at a time, and every failure in words.
function act(work) {
  return async (event) => {
    event.preventDefault();
    const buttons = [...document.querySelectorAll("button")];
    buttons.forEach((one) => { one.disabled = true; });
    tell("");
    try {
      await work(event);
    } catch (error) {
      if (error.code === "unauthenticated") show(null);
      tell(words(error));
    } finally {
      buttons.forEach((one) => { one.disabled = false; });
    }
  };
}

function show(email) {
  at("out").hidden = email !== null;
  at("in").hidden = email === null;
  at("who").textContent = email || "";
  if (email === null) token = null;
}

async function signedIn(result) {
  token = result.token;
  show(result.account.email);
  await list();
}

async function signInWithPassword(event) {
  const { email, password, code } = event.target.elements;
  const body = { email: email.value, password: password.value };
  if (code.value) body.code = code.value;
  try {
    await signedIn(await ask("POST", "/auth/sign-in", body));
    event.target.reset();
  } catch (error) {
    if (error.code !== "mfa_required" || !error.methods.includes("email") || error.methods.includes("app")) throw error;
    await ask("POST", "/auth/mail-code", { email: email.value, password: password.value });
    tell("A code was mailed to you: type it below your password.");
  }
}

async function signInWithPasskey() {
  await signedIn(await ask("POST", "/auth/passkey", { credential: await prove() }));
}

async function signOut() {
  await ask("POST", "/auth/sign-out", undefined, token);
  show(null);
}

// Password and, where a second factor is on, a code or one of the passkeys there are.
async function proven(form, send) {
  const body = { password: form.elements.password.value };
  if (form.elements.code.value) body.code = form.elements.code.value;
  try {
    return await send(body);
  } catch (error) {
    if (error.code !== "mfa_required" || !error.methods.includes("passkey")) throw error;
    return await send({ ...body, passkey: await prove() });
  }
}

async function add(event) {
  const form = event.target;
  const options = await proven(form, (body) => ask("POST", "/me/passkeys/options", body, token));
  const made = await create(options.public_key);
  const added = await ask("POST", "/me/passkeys", { name: form.elements.name.value, credential: made }, token);
  form.reset();
  at("codes").textContent = added.recovery_codes.join("\n");
  at("recovery").hidden = added.recovery_codes.length === 0;
  await list();
}

async function list() {
  const { passkeys } = await ask("GET", "/me/passkeys", undefined, token);
  at("passkeys").replaceChildren(...passkeys.map(row));
  at("none").hidden = passkeys.length > 0;
}

function row(passkey) {
  const item = at("row").content.cloneNode(true);
  const day = (time) => (time ? new Date(time).toLocaleString() : "never");
  const kept = passkey.synced ? "synced between your devices" : "on one device";
  item.querySelector(".name").textContent = passkey.name;
  item.querySelector(".facts").textContent = `${kept}; since ${day(passkey.created_at)}; last used: ${day(passkey.used_at)}`;
  item.querySelector(".rename").addEventListener("submit", act((event) => rename(passkey, event.target)));
  item.querySelector(".remove").addEventListener("submit", act((event) => remove(passkey, event.target)));
  return item;
}

async function rename(passkey, form) {
  await ask("PATCH", `/me/passkeys/${passkey.id}`, { name: form.elements.name.value }, token);
  await list();
}

async function remove(passkey, form) {
  await proven(form, (body) => ask("POST", `/me/passkeys/${passkey.id}/remove`, body, token));
  await list();
}

if (supported()) {
  at("with-passkey").addEventListener("click", act(signInWithPasskey));
} else {
  at("with-passkey").hidden = true;
  tell("This browser makes no passkeys here: they need https and a browser of today.");
}
at("sign-in").addEventListener("submit", act(signInWithPassword));
at("sign-out").addEventListener("click", act(signOut));
at("add").addEventListener("submit", act(add));
window.addEventListener("pagehide", () => {
  if (token) ask("POST", "/auth/sign-out", undefined, token, { keepalive: true }).catch(() => {});
  show(null);
});
