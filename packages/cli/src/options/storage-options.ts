// How a storage is reached, named as restic's: options of its kind, limits on the rate, certificates.

import { resolve } from 'node:path';
import { AppError } from '@varve/base';
import type { OpenStorageOptions } from '@varve/storage';
import { Option, type Command } from 'commander';
import type { Session } from '../session.ts';
import { collect, wholeNumber } from './numbers.ts';

export interface ConnectionOptions {
  /** `name=value`, as given. */
  readonly option?: readonly string[];
  /** KiB per second. */
  readonly limitUpload?: number;
  readonly limitDownload?: number;
}

export interface StorageCommandOptions extends ConnectionOptions {
  readonly cacert?: string;
  readonly tlsClientCert?: string;
}

const rate = wholeNumber({ min: 0, max: 1_000_000_000 });

function connectionOptions(): Option[] {
  const example = 'e.g. s3.region=eu-west-1 (several times; docs/storages.md)';
  return [
    new Option('-o, --option <name=value>', `option of the storage, ${example}`).argParser(collect),
    new Option('--limit-upload <KiB/s>', 'send no faster than this (0: no limit)').argParser(rate),
    new Option('--limit-download <KiB/s>', 'receive no faster than this (0: no limit)').argParser(rate),
  ];
}

/** Adds `-o`, `--limit-upload` and `--limit-download`: what an installation keeps of its repository. */
export function addConnectionOptions(command: Command): void {
  for (const option of connectionOptions()) command.addOption(option);
}

/** Adds these, and `--cacert` and `--tls-client-cert`. */
export function addStorageOptions(command: Command, group: string): void {
  const certificates = [
    new Option('--cacert <file>', 'PEM file of the authorities to trust (RESTIC_CACERT)'),
    new Option('--tls-client-cert <file>', 'PEM file of a certificate with its key (RESTIC_TLS_CLIENT_CERT)'),
  ];
  for (const option of [...connectionOptions(), ...certificates]) command.addOption(option.helpGroup(group));
}

/** USAGE_INVALID for an option that is not `name=value`. */
export function connectionOptionsOf(
  options: ConnectionOptions,
): Pick<OpenStorageOptions, 'settings' | 'uploadBytesPerSecond' | 'downloadBytesPerSecond'> {
  return {
    settings: settingsOf(options.option ?? []),
    uploadBytesPerSecond: bytesPerSecond(options.limitUpload),
    downloadBytesPerSecond: bytesPerSecond(options.limitDownload),
  };
}

/** What `openStorage` is told. */
export function storageOptionsOf(session: Session, options: StorageCommandOptions): OpenStorageOptions {
  const { cwd, env } = session.io;
  const { cacert, tlsClientCert } = options;
  return {
    workingFolder: cwd,
    environment: {
      ...env,
      ...(cacert === undefined ? {} : { RESTIC_CACERT: resolve(cwd, cacert) }),
      ...(tlsClientCert === undefined ? {} : { RESTIC_TLS_CLIENT_CERT: resolve(cwd, tlsClientCert) }),
    },
    ...connectionOptionsOf(options),
  };
}

/** The last one of a name counts, as in restic. Names are checked by the storage that they belong to. */
function settingsOf(given: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    given.map((text) => {
      const at = text.indexOf('=');
      const name = text.slice(0, at).trim().toLowerCase();
      if (at > 0 && /^[a-z]+\.[a-z0-9-]+$/.test(name)) return [name, text.slice(at + 1).trim()];
      throw new AppError('USAGE_INVALID', `The option “${text}” is not of the form kind.name=value.`, {
        hint: 'Write for example -o s3.region=eu-west-1; docs/storages.md lists them.',
      });
    }),
  );
}

function bytesPerSecond(kibibytes: number | undefined): number | undefined {
  return kibibytes === undefined || kibibytes === 0 ? undefined : kibibytes * 1024;
}
