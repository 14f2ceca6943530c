// The API key, kept in this tab only.

const NAME = "aasist.key";

export function storedKey(): string | null {
  try {
    return sessionStorage.getItem(NAME);
  } catch {
    return kept; // storage is switched off
  }
}

export function storeKey(key: string | null): void {
  kept = key;
  try {
    if (key === null) sessionStorage.removeItem(NAME);
    else sessionStorage.setItem(NAME, key);
  } catch {
    // The variable has it until the page is closed.
  }
}

let kept: string | null = null;
