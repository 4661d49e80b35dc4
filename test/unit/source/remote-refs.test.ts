import { describe, expect, test } from 'vitest';
import { chooseRevision, parseRemoteRefs } from '../../../coordinator/source/remote-refs.js';
import { commitId } from '../../support/ids.js';

const [main, topic, tag, tagged] = [commitId(1), commitId(2), commitId(3), commitId(4)];
const refs = parseRemoteRefs(
  [
    `ref: refs/heads/main\tHEAD`,
    `${main}\tHEAD`,
    `${main}\trefs/heads/main`,
    `${topic}\trefs/heads/topic/one`,
    `${topic}\trefs/heads/both`,
    `${main}\trefs/tags/both`,
    `${tag}\trefs/tags/v1`,
    `${tagged}\trefs/tags/v1^{}`,
    `${commitId(5)}\trefs/pull/7/head`,
    // Named after commits: one that is there, and one that is on no tip.
    `${topic}\trefs/heads/${main}`,
    `${topic}\trefs/tags/${commitId(9)}`,
    'something else',
    '',
  ].join('\n'),
);

describe('what a person means by', () => {
  test.each([
    ['HEAD', main, 'refs/heads/main'],
    ['main', main, 'refs/heads/main'],
    ['topic/one', topic, 'refs/heads/topic/one'],
    ['v1', tagged, 'refs/tags/v1'],
    ['both', topic, 'refs/heads/both'],
    ['refs/tags/both', main, 'refs/tags/both'],
    ['refs/pull/7/head', commitId(5), 'refs/pull/7/head'],
    [main, main, 'refs/heads/main'],
    [tagged, tagged, 'refs/tags/v1'],
    [commitId(9), commitId(9), undefined],
    [`refs/heads/${main}`, topic, `refs/heads/${main}`],
  ])('%s', (commitish, commit, ref) => {
    expect(chooseRevision(refs, commitish)).toEqual({
      kind: 'found',
      commit,
      ...(ref === undefined ? {} : { ref }),
    });
  });

  test.each([
    ['missing', /no branch or tag "missing"; there are the branches main, topic\/one, both/],
    ['abc1234', /all of its 40 characters/],
    ['', /no branch or tag ""/],
  ])('%j is told to be nothing', (commitish, message) => {
    expect(chooseRevision(refs, commitish)).toMatchObject({
      kind: 'unknown',
      message: expect.stringMatching(message) as string,
    });
  });

  test('HEAD of a detached and of an empty repository', () => {
    expect(chooseRevision(parseRemoteRefs(`${main}\tHEAD`), 'HEAD')).toEqual({ kind: 'found', commit: main });
    expect(chooseRevision(parseRemoteRefs(''), 'HEAD')).toMatchObject({ kind: 'unknown' });
    expect(chooseRevision(parseRemoteRefs(''), 'main')).toMatchObject({
      message: expect.stringMatching(/has no branches/) as string,
    });
  });
});
