// Names of components: made from volumes, folders and services, fit for a folder name in the snapshot, unique in the app.

/** Gives out names; the same wish twice yields `data`, `data-2`. Names of different kinds share one space. */
export class ComponentNames {
  readonly #taken = new Set<string>();

  take(wish: string): string {
    const base = plainName(wish);
    for (let number = 1; ; number++) {
      const name = number === 1 ? base : `${base}-${number}`;
      if (this.#taken.has(name.toLowerCase())) continue;
      this.#taken.add(name.toLowerCase());
      return name;
    }
  }
}

function plainName(wish: string): string {
  const plain = wish
    .replaceAll(/[^A-Za-z0-9._-]+/g, '-')
    .replace(/^[^A-Za-z0-9]+/, '')
    .slice(0, 100);
  return plain === '' ? 'data' : plain;
}

/** An app's id from any name: lowercase letters, digits and single hyphens. */
export function suggestAppId(name: string): string {
  const id = name
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '-')
    .slice(0, 64)
    .replaceAll(/^-+|-+$/g, '');
  return id === '' ? 'app' : id;
}
