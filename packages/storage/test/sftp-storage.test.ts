import { execFile } from 'node:child_process';
import { copyFile, mkdir, mkdtemp, readdir, readFile, rename, rm, rmdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import {
  describeStorageContract,
  quickTemporaryFolder,
  sftpServerMissing,
  startSftpServer,
  type SftpServer,
} from '@varve/testing';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { openStorage, type Storage } from '../src/index.ts';
import { knownKeys } from '../src/sftp/known-hosts.ts';
import { parseSftpLocation } from '../src/sftp/sftp-location.ts';

const quick = { attempts: 3, firstDelayMs: 1, maxDelayMs: 10 };
const name = 'ab'.repeat(32);
const missing = sftpServerMissing();

describe.skipIf(missing)(`OpenSSH${missing ? ` [skipped: ${missing}]` : ''}`, () => {
  let folder: string;
  let peer: SftpServer;
  let count = 0;
  beforeAll(async () => {
    folder = await mkdtemp(join(quickTemporaryFolder(), 'varve-sftp-'));
    peer = await startSftpServer(folder);
  });
  afterAll(async () => {
    await peer[Symbol.asyncDispose]();
    await rm(folder, { recursive: true });
  });

  function open(path: string, changes: Record<string, string> = {}): Storage & AsyncDisposable {
    return openWith({}, { 'sftp.key': peer.keyFile, 'sftp.known-hosts': peer.knownHostsFile, ...changes }, path);
  }

  function openWith(
    environment: Record<string, string>,
    settings: Record<string, string>,
    path = 'x',
  ): Storage & AsyncDisposable {
    const storage = openStorage(`sftp://${peer.user}@127.0.0.1:${peer.port}/${folder}/${path}`, {
      environment: { HOME: folder, ...environment },
      settings,
      retry: quick,
    });
    return Object.assign(storage, { [Symbol.asyncDispose]: () => storage.close() });
  }

  describeStorageContract('an SFTP server', async () => ({
    storage: open(`contract/${++count}`),
    dispose: async () => {},
  }));

  test('has the layout of a local folder, read-only files and no temporary ones', async () => {
    await using storage = open('layout');
    await storage.create();
    await storage.save({ type: 'pack', name }, Buffer.from('x'));
    await expect(storage.save({ type: 'pack', name }, Buffer.from('y'))).rejects.toMatchObject({
      code: 'STORAGE_FILE_EXISTS',
    });
    expect(await readdir(join(folder, 'layout', 'data', 'ab'))).toEqual([name]);
    expect((await stat(join(folder, 'layout', 'data', 'ab', name))).mode & 0o777).toBe(0o400);
    await using local = Object.assign(openStorage(join(folder, 'layout')), { [Symbol.asyncDispose]: async () => {} });
    expect(await Array.fromAsync(local.list('pack'))).toEqual([{ name, sizeBytes: 1 }]);
  });

  test('a repository that vanishes while it is in use is neither empty nor made anew', async () => {
    await using storage = open('vanishing');
    await storage.create();
    await storage.save({ type: 'config', name: '' }, Buffer.from('x'));
    await storage.save({ type: 'snapshot', name }, Buffer.from('x'));
    await rename(join(folder, 'vanishing'), join(folder, 'away'));
    await mkdir(join(folder, 'vanishing'));
    const gone = { code: 'STORAGE_UNREACHABLE', hint: expect.stringContaining('mounted') as string };
    await expect(storage.save({ type: 'pack', name }, Buffer.from('x'))).rejects.toMatchObject(gone);
    await expect(Array.fromAsync(storage.list('snapshot'))).rejects.toMatchObject(gone);
    await expect(storage.remove({ type: 'snapshot', name })).rejects.toMatchObject(gone);
    await expect(storage.load({ type: 'snapshot', name })).rejects.toMatchObject(gone);
    expect(await readdir(join(folder, 'vanishing'))).toEqual([]);
    await rmdir(join(folder, 'vanishing'));
    await rename(join(folder, 'away'), join(folder, 'vanishing'));
    expect(await Array.fromAsync(storage.list('snapshot'))).toEqual([{ name, sizeBytes: 1 }]);
  });

  test('an unknown host is refused with its fingerprint and the remedy', async () => {
    const empty = join(folder, 'empty_known_hosts');
    await writeFile(empty, '');
    await using storage = open('x', { 'sftp.known-hosts': empty });
    await expect(storage.create()).rejects.toMatchObject({
      code: 'STORAGE_DENIED',
      message: expect.stringMatching(/not known.*ssh-ed25519 SHA256:/),
      hint: expect.stringContaining(`ssh-keyscan -p ${peer.port} 127.0.0.1 >> ${empty}`),
    });
  });

  test('a host whose key is another one is refused', async () => {
    const changed = join(folder, 'changed_known_hosts');
    const other = 'AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA';
    await writeFile(changed, `[127.0.0.1]:${peer.port} ssh-ed25519 ${other}\n`);
    await using storage = open('x', { 'sftp.known-hosts': changed });
    await expect(storage.create()).rejects.toMatchObject({
      code: 'STORAGE_DENIED',
      hint: expect.stringContaining('ssh-keygen -R'),
    });
  });

  test('a key that is not let in, and none at all, are denied', async () => {
    await using stranger = open('x', { 'sftp.key': peer.strangerKeyFile });
    await expect(stranger.create()).rejects.toMatchObject({
      code: 'STORAGE_DENIED',
      hint: expect.stringContaining('authorized_keys'),
    });
    await using nobody = openWith({}, { 'sftp.known-hosts': peer.knownHostsFile });
    await expect(nobody.create()).rejects.toMatchObject({
      code: 'STORAGE_DENIED',
      message: expect.stringContaining('no key'),
    });
    await using slip = open('x', { 'sftp.key': join(folder, 'nothing') });
    await expect(slip.create()).rejects.toMatchObject({
      code: 'STORAGE_DENIED',
      message: expect.stringContaining('nothing'),
    });
  });

  test('an agent lets in, with the host in known_hosts under a hash', async () => {
    const socket = join(folder, 'agent.sock');
    const run = promisify(execFile);
    const { stdout } = await run('ssh-agent', ['-a', socket]);
    const [, pid = ''] = /SSH_AGENT_PID=(\d+)/.exec(stdout) ?? [];
    onTestFinished(() => void process.kill(Number(pid)));
    await run('ssh-add', ['-q', peer.keyFile], { env: { ...process.env, SSH_AUTH_SOCK: socket } });
    const hashed = join(folder, 'hashed_known_hosts');
    await copyFile(peer.knownHostsFile, hashed);
    await run('ssh-keygen', ['-q', '-H', '-f', hashed]);
    expect(await readFile(hashed, 'utf8')).toMatch(/^\|1\|/);
    await using storage = openWith({ SSH_AUTH_SOCK: socket }, { 'sftp.known-hosts': hashed });
    await storage.create();
    await storage.save({ type: 'index', name }, Buffer.from('x'));
  });

  test('a host key that is revoked is refused, although it is known', async () => {
    const revoked = join(folder, 'revoked_known_hosts');
    const known = await readFile(peer.knownHostsFile, 'utf8');
    await writeFile(revoked, `${known}@revoked * ${known.split(' ').slice(1).join(' ')}`);
    await using storage = open('x', { 'sftp.known-hosts': revoked });
    await expect(storage.create()).rejects.toMatchObject({
      code: 'STORAGE_DENIED',
      message: expect.stringContaining('revoked'),
    });
  });

  test('a server that is not there any more is unreachable', async () => {
    const place = await mkdtemp(join(folder, 'brief-'));
    const brief = await startSftpServer(place);
    const storage = openStorage(`sftp://${brief.user}@127.0.0.1:${brief.port}/${place}/repo`, {
      environment: {},
      settings: { 'sftp.key': brief.keyFile, 'sftp.known-hosts': brief.knownHostsFile },
      retry: quick,
    });
    await storage.create();
    await brief.server.kill();
    await storage.close();
    await expect(storage.stat({ type: 'config', name: '' })).rejects.toMatchObject({ code: 'STORAGE_UNREACHABLE' });
    await storage.close();
  });
});

describe('a location after sftp:', () => {
  test('is read as restic reads it', () => {
    const parsed = { host: 'host', port: 22, user: 'me', path: '/srv/r' };
    expect(parseSftpLocation('sftp:me@host:/srv/r')).toEqual(parsed);
    expect(parseSftpLocation('sftp://me@host//srv/r')).toEqual(parsed);
    expect(parseSftpLocation('sftp://me@host:2222//srv/r')).toEqual({ ...parsed, port: 2222 });
    expect(parseSftpLocation('sftp:host:backups/r')).toEqual({ ...parsed, user: undefined, path: 'backups/r' });
    expect(parseSftpLocation('sftp://host/backups')).toEqual({ ...parsed, user: undefined, path: 'backups' });
    expect(parseSftpLocation('sftp:me@[::1]:/r')).toEqual({ ...parsed, host: '::1', path: '/r' });
  });

  test('without a host or path, or with a password, is refused', () => {
    for (const location of [
      'sftp:',
      'sftp:host',
      'sftp://host',
      'sftp:me:pw@host:/r',
      'sftp://me:pw@host//r',
      'sftp:-oX:/r',
    ]) {
      expect(() => openStorage(location)).toThrow(expect.objectContaining({ code: 'STORAGE_LOCATION_INVALID' }));
    }
  });
});

describe('known_hosts', () => {
  test('names hosts plainly, hashed, with a port, by wildcard, and revokes keys', () => {
    // The hashed name was made by `ssh-keygen -H` for the host `example.org`.
    const text = [
      '# a comment',
      'example.net,10.0.0.1 ssh-ed25519 AAAA',
      '[example.net]:2222 ssh-ed25519 BBBB comment',
      '*.example.com,!bad.example.com ssh-rsa CCCC',
      '@revoked example.net ssh-rsa DDDD',
      '|1|0+i89Am36NTbJOLGpPRhHVgGnn0=|ufdpK6jctkyQfzKnRGGgOZmH+9Y= ssh-ed25519 FFFF',
      '@cert-authority *.example.net ssh-rsa EEEE',
    ].join('\n');
    const typesOf = (host: string): string[] => knownKeys(text, host).map(({ key }) => key.toString('base64'));
    expect(typesOf('10.0.0.1')).toEqual(['AAAA']);
    expect(typesOf('example.net')).toEqual(['AAAA', 'DDDD']);
    expect(typesOf('[example.net]:2222')).toEqual(['BBBB']);
    expect(typesOf('a.example.com')).toEqual(['CCCC']);
    expect(typesOf('bad.example.com')).toEqual([]);
    expect(typesOf('example.org')).toEqual(['FFFF']);
    expect(typesOf('a.example.net')).toEqual([]);
    expect(knownKeys(text, 'example.net').map(({ isRevoked }) => isRevoked)).toEqual([false, true]);
  });
});
