// How scripts ask the server: with the token that proves that they are of our pages.

export const csrf = () => document.querySelector('meta[name="csrf"]')?.content ?? "";

export const ask = async (address, value, method = "POST") => {
  const response = await fetch(address, {
    method,
    headers: { "content-type": "application/json", "x-csrf-token": csrf(), accept: "application/json" },
    body: value === undefined ? undefined : JSON.stringify(value),
  });
  const told = response.headers.get("content-type")?.includes("json") ? await response.json() : {};
  if (!response.ok) throw new Error(told.detail ?? response.statusText);
  return told;
};
