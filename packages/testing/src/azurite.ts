// Azurite, Microsoft's own server of the Azure Blob protocol, in memory on a free loopback port.

import { createRequire } from 'node:module';
import { freePort, startChildServer, type ChildServer } from './child-server.ts';

export interface AzuriteServer extends AsyncDisposable {
  readonly connectionString: string;
  readonly server: ChildServer;
}

/** The well-known account of the emulator (Azurite README, “Default Storage Account”). */
const account = 'devstoreaccount1';
const key = 'Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==';

/** `from` is the file of a package that depends on azurite. Undefined when it is not installed. */
export function findAzurite(from: string): string | undefined {
  try {
    return createRequire(from).resolve('azurite/dist/src/blob/main.js');
  } catch {
    return undefined;
  }
}

/** `program` as {@link findAzurite} yields it. */
export async function startAzurite(program: string): Promise<AzuriteServer> {
  const port = await freePort();
  const server = await startChildServer({
    program: process.execPath,
    args: [
      program,
      '--inMemoryPersistence',
      '--silent',
      // It lags behind the versions of the protocol that the newest client names.
      '--skipApiVersionCheck',
      '--disableTelemetry',
      '--blobHost',
      '127.0.0.1',
      '--blobPort',
      String(port),
    ],
    port,
    startLimitMs: 60_000,
  });
  const connectionString = [
    'DefaultEndpointsProtocol=http',
    `AccountName=${account}`,
    `AccountKey=${key}`,
    `BlobEndpoint=http://127.0.0.1:${port}/${account}`,
  ].join(';');
  return { connectionString, server, [Symbol.asyncDispose]: () => server[Symbol.asyncDispose]() };
}
