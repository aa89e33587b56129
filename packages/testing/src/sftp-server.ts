// OpenSSH's sshd as an ordinary process on a free loopback port, with keys and a configuration of its own.

import { accessSync, constants } from 'node:fs';
import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { freePort, startChildServer, type ChildServer } from './child-server.ts';

export interface SftpServer extends AsyncDisposable {
  readonly port: number;
  readonly user: string;
  /** Private keys: one that the server lets in, and one that it does not. */
  readonly keyFile: string;
  readonly strangerKeyFile: string;
  /** Names the server's key. */
  readonly knownHostsFile: string;
  readonly server: ChildServer;
}

const sshd = '/usr/sbin/sshd';

/** Why there is no SFTP server here, undefined when there can be one. */
export function sftpServerMissing(): string | undefined {
  try {
    accessSync(sshd, constants.X_OK);
  } catch {
    return 'OpenSSH server is not installed';
  }
  return process.getuid?.() === 0 ? undefined : 'sshd needs root to let a user in';
}

/** `folder` gets its keys and configuration. */
export async function startSftpServer(folder: string): Promise<SftpServer> {
  // sshd separates its privileges in there, and does not make it.
  await mkdir('/run/sshd', { recursive: true });
  const keys = { host: join(folder, 'host'), user: join(folder, 'user'), stranger: join(folder, 'stranger') };
  for (const key of Object.values(keys)) {
    await execa('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', 'test', '-f', key]);
  }
  const authorized = join(folder, 'authorized_keys');
  await writeFile(authorized, await readFile(`${keys.user}.pub`));
  await chmod(authorized, 0o600);
  const port = await freePort();
  const lines = [
    `ListenAddress 127.0.0.1:${port}`,
    `HostKey ${keys.host}`,
    `AuthorizedKeysFile ${authorized}`,
    'PidFile none',
    'UsePAM no',
    'StrictModes no',
    'PasswordAuthentication no',
    'PermitRootLogin yes',
    'Subsystem sftp internal-sftp',
    'MaxStartups 100',
  ];
  await writeFile(join(folder, 'sshd_config'), `${lines.join('\n')}\n`);
  const server = await startChildServer({ program: sshd, args: ['-D', '-e', '-f', join(folder, 'sshd_config')], port });
  const knownHostsFile = join(folder, 'known_hosts');
  await writeFile(knownHostsFile, `[127.0.0.1]:${port} ${await readFile(`${keys.host}.pub`, 'utf8')}`);
  return {
    port,
    user: userInfo().username,
    keyFile: keys.user,
    strangerKeyFile: keys.stranger,
    knownHostsFile,
    server,
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}
