// What this browser remembers: theme and language. Storage may be forbidden; then nothing is remembered.

export type SettingName = 'theme' | 'language';

export function readSetting(name: SettingName): string | null {
  try {
    return localStorage.getItem(`varve.${name}`);
  } catch {
    return null;
  }
}

export function writeSetting(name: SettingName, value: string | null): void {
  try {
    if (value === null) localStorage.removeItem(`varve.${name}`);
    else localStorage.setItem(`varve.${name}`, value);
  } catch {
    // Nothing to do: the choice holds until the page is closed.
  }
}
