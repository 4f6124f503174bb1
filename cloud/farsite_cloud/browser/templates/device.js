// "Sign in with a passkey" on the page that lets devices in: the answer goes with the form, to the page's own address.
import { prove, supported, words } from "./webauthn.js";

const button = document.getElementById("passkey");
const problem = document.getElementById("problem");

async function signIn() {
  button.disabled = true;
  problem.hidden = true;
  try {
    const form = document.getElementById("passkey-form");
    const field = Object.assign(document.createElement("input"), { type: "hidden", name: "credential" });
    field.value = JSON.stringify(await prove());
    form.append(field);
    form.submit();
  } catch (error) {
    problem.textContent = words(error);
    problem.hidden = false;
    button.disabled = false;
  }
}

if (supported()) {
  button.hidden = false;
  button.addEventListener("click", signIn);
}
