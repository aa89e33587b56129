import { chmod, readFile, readdir, rename, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { Secret } from '@varve/base';
import { describe, expect, test } from 'vitest';
import { generatePassword } from '../src/secrets/generate-secret.ts';
import { loadSecretKey } from '../src/secrets/secret-key.ts';
import { openSecretStore } from '../src/secrets/secret-store.ts';
import { startEngine, temporaryFolder } from './engine-fixture.ts';

describe('the key', () => {
  test('is made once, private, and the same for everybody who starts at once', async () => {
    await using folder = await temporaryFolder();
    const path = join(folder.path, 'secret.key');
    const keys = await Promise.all(Array.from({ length: 8 }, () => loadSecretKey(path)));
    expect(new Set(keys.map((key) => Buffer.from(key).toString('hex'))).size).toBe(1);
    expect(keys[0]).toHaveLength(32);
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    expect(await readdir(folder.path)).toEqual(['secret.key']);
  });

  test('that others could read is closed to them', async () => {
    await using folder = await temporaryFolder();
    const path = join(folder.path, 'secret.key');
    await loadSecretKey(path);
    await chmod(path, 0o644);
    await loadSecretKey(path);
    expect((await stat(path)).mode & 0o777).toBe(0o600);
  });

  test('of the wrong length is refused, not replaced', async () => {
    await using folder = await temporaryFolder();
    const path = join(folder.path, 'secret.key');
    await writeFile(path, 'short');
    await expect(loadSecretKey(path)).rejects.toMatchObject({ code: 'CATALOGUE_UNUSABLE' });
    expect(await readFile(path, 'utf8')).toBe('short');
  });
});

describe('secrets at rest', () => {
  test('come back as they went in, with any characters', async () => {
    await using engine = await startEngine();
    const text = 'pä$$ \0 "wörd"\n漢字';
    await engine.secrets.set('db:main', new Secret(text));
    await engine.secrets.set('empty', new Secret(''));
    expect((await engine.secrets.get('db:main'))?.reveal()).toBe(text);
    expect((await engine.secrets.get('empty'))?.reveal()).toBe('');
    expect(await engine.secrets.get('other')).toBeUndefined();
    expect(await engine.secrets.names()).toEqual(['db:main', 'empty']);
    await engine.secrets.remove('empty');
    await engine.secrets.remove('empty');
    expect(await engine.secrets.has('empty')).toBe(false);
  });

  test('are in no file in clear, neither as text nor in base64 or hex', async () => {
    await using engine = await startEngine();
    const password = 'correct-horse-battery-staple';
    await engine.settings.update({
      email: { ...(await engine.settings.email()), host: 'mail.example.com' },
      emailPassword: password,
    });
    expect((await engine.settings.emailPassword())?.reveal()).toBe(password);
    for (const file of await readdir(engine.path, { recursive: true, withFileTypes: true })) {
      if (!file.isFile()) continue;
      const bytes = await readFile(join(file.parentPath, file.name));
      for (const form of ['utf8', 'base64', 'hex'] as const) {
        const needle = Buffer.from(password).toString(form).replace(/=+$/, '');
        expect(bytes.includes(needle), `${file.name} holds the password as ${form}`).toBe(false);
      }
      const { mode } = await stat(join(file.parentPath, file.name));
      expect(mode & 0o077).toBe(0);
    }
    expect(inspect(await engine.settings.read())).not.toContain(password);
  });

  test('do not open under another name, after a change of one byte, or with another key', async () => {
    await using folder = await temporaryFolder();
    const store = await openSecretStore(join(folder.path, 's'), Buffer.alloc(32, 1));
    await store.set('a', new Secret('first'));
    const [file = ''] = await readdir(join(folder.path, 's'));
    const path = join(folder.path, 's', file);

    const other = await openSecretStore(join(folder.path, 's'), Buffer.alloc(32, 2));
    await expect(other.get('a')).rejects.toMatchObject({ code: 'CATALOGUE_UNUSABLE' });

    const sound = JSON.parse(await readFile(path, 'utf8')) as { name: string; sealed: string };
    const bytes = Buffer.from(sound.sealed, 'base64');
    bytes[14] = (bytes[14] ?? 0) ^ 1;
    await writeFile(path, JSON.stringify({ ...sound, sealed: bytes.toString('base64') }));
    await expect(store.get('a')).rejects.toMatchObject({ code: 'CATALOGUE_UNUSABLE' });

    await store.set('a', new Secret('first'));
    await store.set('b', new Secret('second'));
    const names = await readdir(join(folder.path, 's'));
    const otherFile = names.find((name) => name !== file) ?? '';
    await rename(path, join(folder.path, 's', otherFile));
    await expect(store.get('b')).rejects.toMatchObject({ code: 'CATALOGUE_UNUSABLE' });
  });

  test('generated passwords have 140 bits, are readable and differ', () => {
    const passwords = Array.from({ length: 200 }, () => generatePassword().reveal());
    for (const password of passwords) expect(password).toMatch(/^([0-9a-hjkmnp-tv-z]{4}-){6}[0-9a-hjkmnp-tv-z]{4}$/);
    expect(new Set(passwords).size).toBe(200);
    expect(7 * 4 * Math.log2(32)).toBe(140);
  });
});
