import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';
import { PresignedUrl } from '../../../shared/blob/presigned-url.js';

const text = 'https://s3.example.org:9000/bucket/a/../b%20c?X-Amz-Signature=secret&x=1';

describe('a presigned URL', () => {
  it('prints without its permission, however it is printed', () => {
    const url = new PresignedUrl(text);
    const prints = [
      String(url),
      ['url:', url].join(' '),
      JSON.stringify({ url }),
      inspect(url),
      inspect({ deep: [url] }, { showHidden: true, depth: 9 }),
      JSON.stringify(Object.entries(url)),
    ];
    for (const print of prints) expect(print).not.toMatch(/secret|Amz/);
    expect(url.toString()).toBe('https://s3.example.org:9000/bucket/a/../b%20c');
    expect(inspect(url)).toBe('PresignedUrl(https://s3.example.org:9000/bucket/a/../b%20c)');
  });

  it('gives the whole when asked, character by character as it was signed', () => {
    expect(new PresignedUrl(text).reveal()).toBe(text);
    expect(new PresignedUrl(text).target()).toEqual({
      secure: true,
      host: 's3.example.org',
      port: 9000,
      path: '/bucket/a/../b%20c?X-Amz-Signature=secret&x=1',
    });
  });

  it('knows the default ports and addresses in brackets', () => {
    expect(new PresignedUrl('http://[::1]/a').target()).toMatchObject({ host: '::1', port: 80 });
    expect(new PresignedUrl('https://h/a').target()).toMatchObject({ secure: true, port: 443 });
  });

  it.each(['', 'file:///etc/passwd', 'ftp://h/a', 'http://h', 'http://h/a b?secret', 'javascript:secret'])(
    'refuses %j and does not repeat it',
    (bad) => {
      expect(() => new PresignedUrl(bad)).toThrow(TypeError);
      expect(() => new PresignedUrl(bad)).not.toThrow(/secret/);
    },
  );
});
