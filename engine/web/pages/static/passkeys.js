// Passkeys: the browser asks the device, and the server is told what it says.

import { ask } from "../base/asking.js";

const able = () =>
  window.PublicKeyCredential?.parseCreationOptionsFromJSON && window.PublicKeyCredential?.parseRequestOptionsFromJSON;

const told = (form, text) => {
  const place = form.querySelector("[role=status]");
  place.textContent = text;
  place.hidden = !text;
};

const trying = (form, act) => async (event) => {
  event.preventDefault();
  told(form, "");
  try {
    const { next } = await act();
    window.location.assign(next);
  } catch (error) {
    if (error.name === "NotAllowedError") told(form, form.dataset.given); // the person has said no, or took long
    else told(form, error.message);
  }
};

const signIn = async (form) => {
  const { publicKey } = await ask("/sign-in/passkey/options", {});
  const options = window.PublicKeyCredential.parseRequestOptionsFromJSON(publicKey);
  const credential = await navigator.credentials.get({ publicKey: options });
  return ask("/sign-in/passkey", { credential: credential.toJSON(), next: form.dataset.next });
};

const register = async (form) => {
  const given = new FormData(form);
  const { publicKey } = await ask("/account/passkeys/options", { password: given.get("password") ?? "" });
  const options = window.PublicKeyCredential.parseCreationOptionsFromJSON(publicKey);
  const credential = await navigator.credentials.create({ publicKey: options });
  return ask("/account/passkeys", { credential: credential.toJSON(), name: given.get("name") });
};

for (const [name, act] of [["sign-in", signIn], ["register", register]]) {
  const form = document.querySelector(`form[data-passkey="${name}"]`);
  if (!form) continue;
  form.hidden = !able();
  form.addEventListener("submit", trying(form, () => act(form)));
}
