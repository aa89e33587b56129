// `rclone:<remote>:<path>`, as restic takes it: everything that rclone reaches (Google Drive, OneDrive, Dropbox, WebDAV, B2
// and the rest), through a program that we start and end.

import type { Storage } from '../contract.ts';
import { connectionsOf, invalidLocation, settingsOf, type OpenStorageOptions } from '../open-options.ts';
import { LazyStorage } from '../wrappers/lazy-storage.ts';
import { splitWords } from './split-words.ts';

const defaultConnections = 5;
/** restic's, without the cache that goes on reporting an upload that was broken off and removed (seen with rclone 1.60). */
const defaultArgs = 'serve restic --stdio --b2-hard-delete --cache-objects=false';
const defaultTimeoutSeconds = 60;
const hint = 'Write rclone:remote:path, with a remote that `rclone listremotes` names.';

export function openRclone(location: string, options: OpenStorageOptions): Storage {
  const settings = settingsOf('rclone', ['program', 'args', 'timeout', 'connections'], options);
  const connections = connectionsOf(options, settings['connections'], defaultConnections);
  const remote = location.slice('rclone:'.length);
  if (remote.trim() === '' || remote.startsWith('-')) {
    throw invalidLocation('The location after “rclone:” is not a remote.', hint);
  }
  const [program, ...programArgs] = splitWords(settings['program'] ?? 'rclone');
  if (program === undefined) throw invalidLocation('The option rclone.program is empty.', hint);
  const args = [...programArgs, ...splitWords(settings['args'] ?? defaultArgs), remote];
  const timeoutMs = Number(settings['timeout'] ?? defaultTimeoutSeconds) * 1000;
  if (!(timeoutMs > 0)) throw invalidLocation('The option rclone.timeout is not a number of seconds.', hint);
  // A remote on the fly (`:sftp,host=…,pass=…:path`) may hold a password.
  const shown = remote.startsWith(':')
    ? remote.replace(/((?:pass|password|secret|token|key)[a-z_]*=)[^,:]*/gi, '$1[redacted]')
    : remote;
  const safeLocation = `rclone:${shown}`;
  return new LazyStorage({ location: safeLocation, connections }, async () => {
    const { RcloneTransport } = await import('./rclone-transport.ts');
    const { RestStorage } = await import('../rest/rest-storage.ts');
    const transport = new RcloneTransport({ program, args, timeoutMs, environment: options.environment ?? {} });
    return new RestStorage({ location: safeLocation, connections, transport });
  });
}
