import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Secret } from '@varve/base';
import {
  addKey,
  changePassword,
  checkRepository,
  listKeys,
  listMigrations,
  migrateRepository,
  openRepository,
  removeKey,
  type Repository,
} from '@varve/repository';
import { FaultyStorage } from '@varve/testing';
import { describe, expect, test, vi } from 'vitest';
import { cheapKey, resticPassword, ScratchFolder } from './restic-oracle.ts';
import { backUp, cloneRepository, expectBothChecks, makeSource, missing, reopen } from './edit-lab.ts';

// Each call of restic derives a key.
vi.setConfig({ testTimeout: 120_000 });

const old = new Secret(resticPassword);
const fresh = new Secret('neu & länger');
const keyDerivation = cheapKey;

function open(folder: ScratchFolder, password: Secret): Promise<Repository> {
  return openRepository({ storage: folder.storage(), password });
}

/** Which of the passwords open. */
async function opening(folder: ScratchFolder, passwords: readonly Secret[]): Promise<Secret[]> {
  const found: Secret[] = [];
  for (const password of passwords) {
    await open(folder, password).then(
      () => found.push(password),
      (error: { code: string }) => expect(['REPOSITORY_PASSWORD_WRONG', 'REPOSITORY_DAMAGED']).toContain(error.code),
    );
  }
  return found;
}

describe('the keys of a repository', () => {
  test('are listed, added and removed, but never the one in use', async () => {
    await using folder = await ScratchFolder.create();
    const first = await folder.createRepository();
    const clock = { now: () => new Date('2036-01-02T03:04:05Z') };
    const id = await addKey(first, { password: fresh, username: 'anna', hostname: 'laptop', keyDerivation, clock });
    const second = await open(folder, fresh);
    expect([second.id, second.keyId]).toEqual([first.id, id]);
    const { keys, failures } = await listKeys(second);
    expect(failures).toEqual([]);
    expect(keys).toMatchObject([
      { id: first.keyId, isCurrent: false },
      { id, isCurrent: true, username: 'anna', hostname: 'laptop' },
    ]);
    expect(new Date(keys[1]!.created)).toEqual(clock.now());

    await expect(removeKey(second, id.slice(0, 8))).rejects.toMatchObject({ code: 'USAGE_INVALID' });
    await expect(removeKey(second, 'nothing')).rejects.toMatchObject({ code: 'REPOSITORY_KEY_NOT_FOUND' });
    await expect(removeKey(second, '')).rejects.toMatchObject({ code: 'REPOSITORY_KEY_NOT_FOUND' });
    expect(await removeKey(second, first.keyId.slice(0, 16))).toBe(first.keyId);
    // The first was opened with a key that is gone: it must not remove the last one.
    await expect(removeKey(first, id)).rejects.toMatchObject({ code: 'USAGE_INVALID' });
    await expect(removeKey(second, id)).rejects.toMatchObject({ code: 'USAGE_INVALID' });
    expect(await opening(folder, [old, fresh])).toEqual([fresh]);
  });

  test('have no empty password, and a beginning of several ids names none', async () => {
    await using folder = await ScratchFolder.create();
    const repository = await folder.createRepository();
    await expect(addKey(repository, { password: new Secret('') })).rejects.toMatchObject({
      code: 'REPOSITORY_PASSWORD_MISSING',
    });
    // 17 keys: two of them begin with the same digit.
    for (let key = 0; key < 16; key++) await addKey(repository, { password: fresh, keyDerivation });
    const names = (await listKeys(repository)).keys.map(({ id }) => id[0] ?? '');
    const digit = names.find((name, position) => names.indexOf(name) !== position) ?? '';
    await expect(removeKey(repository, digit)).rejects.toMatchObject({ code: 'USAGE_INVALID' });
    expect(names).toHaveLength(17);
  });

  test('that are damaged are told beside the others', async () => {
    await using folder = await ScratchFolder.create();
    const repository = await folder.createRepository();
    await writeFile(join(folder.repo, 'keys', 'ab'.repeat(32)), '{}');
    expect(await listKeys(repository)).toMatchObject({
      keys: [{ isCurrent: true }],
      failures: [{ id: 'ab'.repeat(32), message: expect.stringContaining('hash') }],
    });
  });

  test('a new one that comes back changed from the storage is taken away again', async () => {
    await using folder = await ScratchFolder.create();
    await folder.createRepository();
    const storage = new FaultyStorage(folder.storage(), {
      failingCall: 0,
      kind: 'before',
      flipsLoad: ({ type }, call) => type === 'key' && call > 2,
    });
    const repository = await reopen(folder, storage);
    await expect(changePassword(repository, { password: fresh, keyDerivation })).rejects.toMatchObject({
      code: 'REPOSITORY_DAMAGED',
    });
    expect(await readdir(join(folder.repo, 'keys'))).toEqual([repository.keyId]);
    expect(await opening(folder, [old, fresh])).toEqual([old]);
  });

  test('a changed password opens afterwards, the old one no more', async () => {
    await using folder = await ScratchFolder.create();
    const repository = await folder.createRepository();
    const id = await changePassword(repository, { password: fresh, keyDerivation });
    expect(repository.keyId).toBe(id);
    expect(await opening(folder, [old, fresh])).toEqual([fresh]);
    // The open repository goes on with its new key.
    await changePassword(repository, { password: old, keyDerivation });
    expect(await opening(folder, [old, fresh])).toEqual([old]);
  });

  test('a change that is interrupted at any call leaves a password that opens', async () => {
    for (const kind of ['before', 'after', 'torn'] as const) {
      for (const staysDown of [true, false]) {
        for (let failingCall = 1; failingCall <= 2; failingCall++) {
          await using folder = await ScratchFolder.create();
          await folder.createRepository();
          const storage = new FaultyStorage(folder.storage(), { failingCall, kind, staysDown });
          const change = changePassword(await reopen(folder, storage), { password: fresh, keyDerivation });
          await expect(change).rejects.toMatchObject({ code: 'STORAGE_UNREACHABLE' });
          const open = await opening(folder, [old, fresh]);
          expect(open).not.toEqual([]);
          // When only the first call failed, the password that was not taken does not open.
          if (failingCall === 1 && !staysDown) expect(open).toEqual([old]);
          const repository = await openRepository({ storage: folder.storage(), password: open[0] ?? old });
          await changePassword(repository, { password: fresh, keyDerivation });
          expect(await opening(folder, [fresh])).toEqual([fresh]);
        }
      }
    }
  });

  test.skipIf(missing !== null)('that we add open for restic, and those that restic adds for us', async () => {
    await using folder = await ScratchFolder.create();
    const repository = await folder.createRepository();
    await addKey(repository, { password: fresh, keyDerivation });
    expect(await folder.restic(['key', 'list'], { password: fresh.reveal() })).toContain(repository.keyId.slice(0, 8));
    await writeFile(join(folder.path, 'third'), 'drittes');
    await folder.restic(['key', 'passwd', '--new-password-file', join(folder.path, 'third')]);
    expect(await opening(folder, [old, fresh, new Secret('drittes')])).toHaveLength(2);
    const third = await open(folder, new Secret('drittes'));
    await changePassword(third, { password: old });
    await folder.restic(['snapshots']);
    expect((await listKeys(third)).keys).toHaveLength(2);
    await expectBothChecks(folder);
  });
});

describe.skipIf(missing !== null)(`an upgrade to format 2 (${missing ?? 'restic is there'})`, () => {
  /** A repository of format 1 with a snapshot. */
  async function makeOld(folder: ScratchFolder): Promise<void> {
    await folder.restic(['init', '--repository-version', '1']);
    await folder.restic(['backup', await makeSource(folder, { large: false })]);
  }

  test('leaves everything readable, and restic and we write to it', async () => {
    await using folder = await ScratchFolder.create();
    await makeOld(folder);
    const before = await reopen(folder);
    expect(listMigrations(before)).toMatchObject([{ name: 'upgrade_repo_v2', obstacle: null }]);
    const backupFolder = join(folder.path, 'backup');
    await migrateRepository(before, 'upgrade_repo_v2', { backupFolder });
    expect(await readdir(backupFolder)).toEqual([]);
    const after = await reopen(folder);
    expect([after.version, after.id]).toEqual([2, before.id]);
    expect(after.config.chunkerPolynomial).toBe(before.config.chunkerPolynomial);
    await backUp(after, join(folder.path, 'source'));
    await folder.restic(['backup', join(folder.path, 'source')]);
    expect(await after.listSnapshots()).toHaveLength(3);
    await expectBothChecks(folder);
    expect(listMigrations(after)).toMatchObject([{ obstacle: expect.stringContaining('version 2') }]);
    await expect(migrateRepository(after, 'upgrade_repo_v2', { backupFolder })).rejects.toMatchObject({
      code: 'USAGE_INVALID',
    });
  });

  test('of a damaged repository is refused, and nothing changes', async () => {
    await using folder = await ScratchFolder.create();
    await makeOld(folder);
    const repository = await reopen(folder);
    for (const { name } of await repository.listFiles('index'))
      await repository.storage.remove({ type: 'index', name });
    const config = await readFile(join(folder.repo, 'config'));
    const migrate = migrateRepository(repository, 'upgrade_repo_v2', { backupFolder: join(folder.path, 'backup') });
    await expect(migrate).rejects.toMatchObject({ code: 'REPOSITORY_DAMAGED' });
    expect(await readFile(join(folder.repo, 'config'))).toEqual(config);
  });

  test('that fails at any call leaves a config, whether the storage can replace files or not', async () => {
    await using base = await ScratchFolder.create();
    await makeOld(base);
    for (const canReplace of [true, false]) {
      for (const kind of ['before', 'after', 'torn'] as const) {
        for (let failingCall = 1; failingCall <= (canReplace ? 1 : 2); failingCall++) {
          await using folder = await ScratchFolder.create();
          cloneRepository(base, folder);
          const storage = new FaultyStorage(folder.storage(), { failingCall, kind, staysDown: false });
          if (!canReplace) Object.assign(storage, { replace: undefined });
          const backupFolder = join(folder.path, 'backup');
          const repository = await reopen(folder, storage);
          const code = await migrateRepository(repository, 'upgrade_repo_v2', { backupFolder }).then(
            () => 'done',
            (error: { code: string }) => error.code,
          );
          // A save whose answer was lost is found to be done.
          expect(code).toBe(failingCall === 2 && kind === 'after' ? 'done' : 'STORAGE_UNREACHABLE');
          const isUpgraded = kind === 'after' && (canReplace || failingCall === 2);
          const after = await reopen(folder);
          expect(after.version).toBe(isUpgraded ? 2 : 1);
          expect(await readdir(backupFolder)).toEqual(code === 'done' ? [] : ['config']);
          expect(await after.listSnapshots()).toHaveLength(1);
        }
      }
    }
  });

  test('whose storage stays away between removing and saving names the copy of the config', async () => {
    await using folder = await ScratchFolder.create();
    await makeOld(folder);
    const storage = new FaultyStorage(folder.storage(), { failingCall: 2, kind: 'before' });
    Object.assign(storage, { replace: undefined });
    const backupFolder = join(folder.path, 'backup');
    const migrate = migrateRepository(await reopen(folder, storage), 'upgrade_repo_v2', { backupFolder });
    await expect(migrate).rejects.toMatchObject({ hint: expect.stringContaining(join(backupFolder, 'config')) });
    await writeFile(join(folder.repo, 'config'), await readFile(join(backupFolder, 'config')));
    const { errors } = await checkRepository(await reopen(folder), { readData: true });
    expect(errors).toEqual([]);
  });
});
